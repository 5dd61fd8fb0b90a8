import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import Synchronization
import Testing

@Suite struct ExecServiceTests {
    /// Gathers what a program gives.
    final class Gathered: Sendable {
        let output = Mutex<[UInt8]>([])
        let errors = Mutex<[UInt8]>([])
        let started = Mutex<[String]>([])

        @Sendable func take(_ piece: ExecOutput) {
            switch piece {
            case .started(let id): started.withLock { $0.append(id) }
            case .stdout(let bytes): output.withLock { $0 += bytes }
            case .stderr(let bytes): errors.withLock { $0 += bytes }
            case .caughtUp, .exited: break
            }
        }
    }

    @Test("10 MB of standard input come back byte for byte, then the exit code")
    func relays() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let bytes = (0..<10_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            let position = Mutex(0)
            let gathered = Gathered()
            let exit = try await test.call { client in
                try await client.exec(
                    "web", Program(arguments: ["false"], standardInput: true), id: "exec-1",
                    source: ExecSource(standardInput: {
                        position.withLock { position in
                            guard position < bytes.count else { return nil }
                            let end = min(position + 65536, bytes.count)
                            defer { position = end }
                            return Array(bytes[position..<end])
                        }
                    })
                ) { gathered.take($0) }
            }
            #expect(exit == ExecExit(code: 1))
            #expect(gathered.started.withLock { $0 } == ["exec-1"])
            #expect(gathered.output.withLock { $0 == bytes })
        }
    }

    @Test("sizes and signals reach the program")
    func controls() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let gathered = Gathered()
            let (control, feed) = AsyncStream<ExecInput>.makeStream()
            feed.yield(.resize(TerminalSize(columns: 80, rows: 24)))
            feed.yield(.signal(15))
            let exit = try await test.call { client in
                try await client.exec(
                    "web", Program(arguments: ["cat"]), source: ExecSource(control: control)
                ) { gathered.take($0) }
            }
            #expect(exit == ExecExit(code: 143, signal: 15))
            #expect(gathered.errors.withLock { $0 } == Array("80x24\n".utf8))
        }
    }

    @Test("a detached exec returns once the program runs")
    func detaches() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let exit = try await test.call { client in
                try await client.exec("web", Program(arguments: ["sleep"]), detach: true) { _ in }
            }
            #expect(exit == nil)
            #expect(test.gateway.state.withLock { $0.commands.map(\.detach) } == [true])
        }
    }

    @Test("a program that is not there is told as such, and so is a machine that does not run")
    func refuses() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            try await test.addMachine("down", phase: .stopped)
            try await test.call { client in
                let missing = await failure {
                    try await client.exec("web", Program(arguments: ["missing"])) { _ in }
                }
                #expect(missing?.code == .notFound)
                #expect(missing?.resource?.kind == "program")
                let down = await failure { try await client.exec("down", Program(arguments: ["x"])) { _ in } }
                #expect(down?.code == .conflict)
                #expect(down?.remedy == "start it: covey vm start down")
                let empty = await failure { try await client.exec("web", Program(arguments: [])) { _ in } }
                #expect(empty?.code == .invalid)
                let nobody = await failure { try await client.attach("web", exec: "nobody") { _ in } }
                #expect(nobody?.code == .notFound)
            }
        }
    }

    @Test("an exec waits for a machine that is on its way up")
    func waits() async throws {
        try await TestServer.with { test in
            let machine = try await test.addMachine("web", phase: .starting)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let exit = try await test.call { client in
                        try await client.exec("web", Program(arguments: ["x"]), detach: true) { _ in }
                    }
                    #expect(exit == nil)
                }
                group.addTask {
                    // Whatever comes first, the exec has to see that it runs.
                    try await test.repositories.machines.updateStatus(machine.metadata.id) { $0.phase = .running }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("an attach gives what was kept and the end")
    func attaches() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web", phase: .stopped)
            let gathered = Gathered()
            let exit = try await test.call { try await $0.attach("web") { gathered.take($0) } }
            #expect(exit == ExecExit(code: 7))
            #expect(gathered.output.withLock { $0 } == Array("kept\n".utf8))
        }
    }

    @Test("a caller that leaves ends its stream on the node")
    func leaves() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let call = Task { try await test.call { try await $0.attach("web", exec: "endless") { _ in } } }
            while test.server.counters.snapshot["covey.v1.VirtualMachines/Attach"]?.active != 1 { await Task.yield() }
            call.cancel()
            _ = await call.result
            while test.gateway.state.withLock({ $0.cancelled }) == 0 { await Task.yield() }
            #expect(test.gateway.state.withLock { $0.cancelled } == 1)
        }
    }

    @Test("logs are the program's, or the console's where there is none")
    func logs() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            try await test.call { client in
                let gathered = Mutex("")
                try await client.logs("web") { chunk in
                    gathered.withLock { $0 += String(decoding: chunk.bytes, as: UTF8.self) }
                }
                try await client.logs("web", exec: "main") { chunk in
                    gathered.withLock { $0 += String(decoding: chunk.bytes, as: UTF8.self) }
                }
                #expect(gathered.withLock { $0 } == "console\nlog of main\n")
                #expect(try await client.execs("web").map(\.id) == ["main"])
            }
        }
    }

    @Test("a stream that would never end is ended by the server's stop")
    func stops() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            let error = await failure {
                try await test.call { client in
                    try await client.logs("web", follow: true) { _ in test.server.beginShutdown() }
                }
            }
            #expect(error?.code == .unavailable)
            #expect(error?.message == "the covey daemon is stopping")
        }
    }
}
