import CoveyGuestProtocol
import CoveyModel
import Testing

/// What a guest may not do, whatever it sends.
@Suite struct HostRulesTests {
    /// A session with one program attached at offset 0 with a window of 10 bytes.
    private func attached() throws -> (HostSideSession, GuestSideSession, UInt32) {
        var host = HostSideSession(session: 5)
        var guest = GuestSideSession()
        guest.receive(host.opening)
        _ = guest.next()
        let channel = host.newChannel()
        let (number, _) = try host.request(.attach(id: "x", GuestAttachment(channel: channel, window: 10)))
        host.receive(guest.hello(GuestHello(abilities: [], agentVersion: "", bootID: "")))
        host.receive(guest.reply(GuestReply(number: number, attached: .init())))
        while try host.next() != nil {}
        return (host, guest, channel)
    }

    private func refuses(_ what: String, _ bytes: (GuestSideSession, UInt32) -> [UInt8]) throws {
        var (host, guest, channel) = try attached()
        host.receive(bytes(guest, channel))
        do {
            let input = try host.next()
            Issue.record("\(what) was taken: \(String(describing: input))")
        } catch {}
    }

    @Test("a guest that leaves gaps, goes back, sends more than was asked or answers what nobody asked is refused")
    func rules() throws {
        try refuses("a gap") { $0.output(channel: $1, .standardOutput, offset: 1, [1]) }
        try refuses("too much") { $0.output(channel: $1, .standardOutput, offset: 0, [UInt8](repeating: 0, count: 11)) }
        try refuses("nothing") { $0.output(channel: $1, .standardOutput, offset: 0, []) }
        try refuses("a way back") { $0.dropped(channel: $1, .standardOutput, to: 0) }
        try refuses("an unknown channel") { $0.output(channel: $1 + 1, .standardOutput, offset: 0, [1]) }
        try refuses("channel 0") { guest, _ in guest.output(channel: 0, .standardOutput, offset: 0, [1]) }
        try refuses("an early end") {
            $0.exit(channel: $1, GuestExitMessage(exit: .exited(0), written: [.standardOutput: 1]))
        }
        try refuses("an answer to nothing") { guest, _ in guest.reply(GuestReply(number: 99)) }
        try refuses("a second hello") { guest, _ in
            guest.hello(GuestHello(abilities: [], agentVersion: "", bootID: ""))
        }
        try refuses("a host's frame") { _, _ in Frame(session: 5, channel: 0, type: .request, payload: []).bytes }
    }

    @Test("what comes in order is taken, and what still comes of a detached program is dropped")
    func order() throws {
        var (host, guest, channel) = try attached()
        host.receive(guest.output(channel: channel, .standardOutput, offset: 0, [1, 2]))
        #expect(try host.next() == .output(channel: channel, .standardOutput, offset: 0, [1, 2]))
        host.receive(guest.dropped(channel: channel, .standardOutput, to: 8))
        #expect(try host.next() == .dropped(channel: channel, .standardOutput, count: 6))
        host.receive(guest.output(channel: channel, .standardError, offset: 0, [3]))
        #expect(try host.next() == .output(channel: channel, .standardError, offset: 0, [3]))
        #expect(!host.detach(channel: channel).isEmpty)
        host.receive(guest.output(channel: channel, .standardOutput, offset: 900, [1]))
        #expect(try host.next() == nil)
    }
}
