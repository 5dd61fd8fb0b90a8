import CoveyClient
import CoveyModel
import Synchronization
import Testing

@Suite struct ConsoleServiceTests {
    private final class Gathered: Sendable {
        let all = Mutex<[ConsoleOutput]>([])
    }

    @Test("what is typed comes to the console and back, after who writes and what was said before")
    func types() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let gathered = Gathered()
            let (input, type) = AsyncStream<[UInt8]>.makeStream()
            let error = await #expect(throws: CoveyError.self) {
                try await test.call { client in
                    try await client.console("web", who: "ann\u{1B}[2J", input: input) { output in
                        gathered.all.withLock { $0.append(output) }
                        if output == .caughtUp { type.yield(Array("hi".utf8)) }
                        if output == .data(Array("hi".utf8)) { throw CoveyError(.cancelled, "enough") }
                    }
                }
            }
            #expect(error?.code == .cancelled)
            #expect(
                gathered.all.withLock { $0 } == [
                    .seat(ConsoleSeat(writes: true, writer: "ann[2J")), .data(Array("login: ".utf8)), .caughtUp,
                    .data(Array("hi".utf8)),
                ])
        }
    }

    @Test("a signal for a program that is not there, or that is none, is refused")
    func signals() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            for (exec, number, code) in [("nobody", Int32?.none, ErrorCode.notFound), ("main", 99, .invalid)] {
                let error = await #expect(throws: CoveyError.self) {
                    try await test.call { client in try await client.signal("web", exec: exec, number) }
                }
                #expect(error?.code == code)
            }
            try await test.call { client in try await client.signal("web", exec: "main") }
            #expect(test.gateway.state.withLock { $0.signals } == [15])
        }
    }
}
