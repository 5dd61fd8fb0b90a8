import CoveyGuest
import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite struct LateOpeningTests {
    @Test("a session whose opening came before the driver knew of the host is answered when it does")
    func late() throws {
        var pair = try socketPair()
        let agents = pair.takeFirst()
        let hosts = pair.takeSecond()
        // The driver does not take anything yet.
        var filled = 0
        while case let put = try writeSome(agents.raw, [UInt8](repeating: 0, count: 4096)[...]), put > 0 {
            filled += put
        }
        let host = hosts.raw
        let loop = try EventLoop()
        let server = try AgentServer(
            loop: loop, link: agents,
            hello: GuestHello(abilities: [.exec], agentVersion: "test", bootID: "boot-1"),
            duties: RecordedDuties(RecordedDuties.Record()))
        try server.begin()
        var session = HostSideSession(session: 42)
        try writeAll(host, session.opening)
        // And says that nobody is there, behind the bytes that somebody sent.
        #expect(shutdown(host, Int32(SHUT_WR)) == 0)
        for _ in 0..<4 { try loop.turn(limit: .milliseconds(1)) }
        var input: HostSideSession.Input?
        for _ in 0..<1000 where input == nil {
            while let bytes = try readSome(host), !bytes.isEmpty { session.receive(bytes) }
            input = try session.next()
            try loop.turn(limit: .milliseconds(1))
        }
        guard case .hello(let hello) = input else {
            Issue.record("no hello, but \(String(describing: input)) after \(filled) bytes")
            return
        }
        #expect(hello.bootID == "boot-1")
        server.end()
        try hosts.close()
    }
}
