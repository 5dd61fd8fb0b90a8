import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import Synchronization
import Testing

@Suite struct StreamServiceTests {
    /// Gathers what comes.
    final class Gathered: Sendable {
        private let state = Mutex((bytes: [UInt8](), notes: [String](), ends: 0))
        var text: String { String(decoding: state.withLock { $0.bytes }, as: UTF8.self) }
        var notes: [String] { state.withLock { $0.notes } }
        var ends: Int { state.withLock { $0.ends } }

        @Sendable func take(_ piece: MachineStreamOutput) {
            state.withLock { state in
                switch piece {
                case .bytes(let bytes): state.bytes += bytes
                case .note(let note): state.notes.append(note)
                case .end: state.ends += 1
                }
            }
        }
    }

    private func pieces(_ texts: [String]) -> @Sendable () async throws -> [UInt8]? {
        let rest = Mutex(texts[...])
        return { rest.withLock { $0.popFirst() }.map { Array($0.utf8) } }
    }

    @Test("a pack names path, user and choices, and carries bytes and notes")
    func packs() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let gathered = Gathered()
            let wish = PackWish(path: "/etc/.", user: "nobody", followsLink: true, isExact: true)
            try await test.call { client in try await client.pack("web", wish) { gathered.take($0) } }
            #expect(gathered.text == "/etc/.")
            #expect(gathered.notes == ["a socket was left out"])
            #expect(test.gateway.state.withLock { $0.streams } == [.pack(wish)])
        }
    }

    @Test("an unpack carries the caller's bytes to their end, and refuses what cannot be")
    func unpacks() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let notes = Mutex<[String]>([])
            let wish = UnpackWish(path: "/srv", user: "www", isPlainArchive: true)
            try await test.call { client in
                try await client.unpack("web", wish, input: pieces(["a", "b"])) { note in
                    notes.withLock { $0.append(note) }
                }
            }
            #expect(notes.withLock { $0 } == ["a socket was left out"])
            #expect(test.gateway.state.withLock { $0.streams } == [.unpack(wish)])
            let both = await failure {
                try await test.call { client in
                    try await client.unpack(
                        "web", UnpackWish(path: "/srv", user: "www", isExact: true), input: pieces([])
                    ) { _ in }
                }
            }
            #expect(both?.code == .invalid)
            let own = await failure {
                try await test.call { client in
                    try await client.unpack("web", wish) {
                        throw CoveyError(.denied, "reading /x is not permitted")
                    } note: { _ in
                    }
                }
            }
            #expect(own?.message == "reading /x is not permitted")
        }
    }

    @Test("a connection carries both directions, tells the other side's end, and a refusal")
    func dials() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            try await test.addMachine("down", phase: .stopped)
            let gathered = Gathered()
            try await test.call { client in
                try await client.dial("web", .port(80), input: pieces(["x", "y"])) { gathered.take($0) }
            }
            #expect(gathered.text == "xy" && gathered.ends == 1)
            for (machine, endpoint, code) in [
                ("web", GuestEndpoint.port(9), ErrorCode.unavailable), ("down", .port(80), .conflict),
                ("nobody", .port(80), .notFound), ("web", .socket("relative"), .invalid),
            ] {
                let error = await failure {
                    try await test.call { client in
                        try await client.dial(machine, endpoint, input: pieces([])) { _ in }
                    }
                }
                #expect(error?.code == code, "\(machine) \(endpoint)")
            }
        }
    }

    @Test("events are listed by machine, reason and time, and watched with their counts")
    func events() async throws {
        try await TestServer.with { test in
            let machine = try await test.addMachine("web", phase: .pending)
            try await test.addMachine("other")
            let listed = try await test.call { client in
                try await client.listEvents(EventFilter(machine: "web", reasons: [.created]))
            }
            #expect(listed.map(\.target) == [ResourceReference("vm", "web")])
            #expect(try await test.call { client in try await client.listEvents() }.count == 2)
            let seen = Mutex<[Event]>([])
            let end = await failure {
                try await test.call { client in
                    try await client.watchEvents(EventFilter(machine: "web")) { event in
                        let count = seen.withLock { seen in
                            seen.append(event)
                            return seen.count
                        }
                        if count == 3 { throw CoveyError(.cancelled, "enough") }
                        try await test.repositories.events.tell(
                            Happening(.egressDenied, "to 1.2.3.4"), about: ResourceReference("vm", "web"),
                            machine.metadata.id.description, .standard)
                    }
                }
            }
            #expect(end?.code == .cancelled)
            #expect(seen.withLock { $0.map(\.reason) } == [.created, .egressDenied, .egressDenied])
            #expect(seen.withLock { $0.map(\.count) } == [1, 1, 2])
        }
    }
}
