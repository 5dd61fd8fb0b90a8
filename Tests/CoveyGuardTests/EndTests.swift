import CoveyGuardClient
import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Testing

@Suite struct EndTests {
    @Test("exit codes and signals are told apart and kept until they are forgotten")
    func statuses() async throws {
        try await GuardFixture.with { fixture in
            let client = fixture.client
            for code in [0, 7, 255] {
                _ = try await client.spawn(try fixture.script("exit-\(code)", "exit \(code)"))
                #expect(try await client.waitForExit("exit-\(code)") == .known(.exited(Int32(code))))
                #expect(try await client.waitForExit("exit-\(code)") == .known(.exited(Int32(code))))
            }
            _ = try await client.spawn(try fixture.sleeper("signalled"))
            try await client.signal("signalled", SIGTERM)
            #expect(try await client.waitForExit("signalled") == .known(.signalled(SIGTERM)))
            // One that has ended is left alone.
            try await client.signal("signalled", SIGTERM)
            try await client.forget("signalled")
            try await client.forget("signalled")
            await #expect(throws: CoveyError.self) { try await client.waitForExit("signalled") }
            await #expect(throws: CoveyError.self) { try await client.signal("signalled", SIGTERM) }
        }
    }

    @Test("a kill ends a whole tree that changes its sessions and ignores signals")
    func killsTree() async throws {
        try await GuardFixture.with { fixture in
            let script = """
                trap '' TERM INT HUP
                for i in 1 2 3 4 5 6 7 8; do setsid sh -c 'trap "" TERM; sleep 1000 & sleep 1000 & wait' & done
                echo ready
                while :; do sleep 0.01; done
                """
            _ = try await fixture.client.spawn(try fixture.script("tree", script))
            let groups = try fixture.groups
            try await eventually("the tree stands") { try groups.members("tree").count > 24 }
            try await fixture.client.kill("tree")
            #expect(try groups.members("tree").isEmpty)
            #expect(try await fixture.client.waitForExit("tree") == .known(.signalled(SIGKILL)))
            try await fixture.client.forget("tree")
            #expect(try groups.names().isEmpty)
        }
    }

    @Test("what a process leaves behind is ended when it is forgotten")
    func forgetEndsRest() async throws {
        try await GuardFixture.with { fixture in
            _ = try await fixture.client.spawn(try fixture.script("leaver", "setsid sleep 1000 & sleep 0.05; exit 3"))
            #expect(try await fixture.client.waitForExit("leaver") == .known(.exited(3)))
            let groups = try fixture.groups
            #expect(try groups.members("leaver").count == 1)
            try await fixture.client.forget("leaver")
            #expect(try groups.names().isEmpty)
        }
    }

    @Test("a running process is not forgotten, and its name is not given twice")
    func conflicts() async throws {
        try await GuardFixture.with { fixture in
            let first = try await fixture.client.spawn(try fixture.sleeper("one"))
            let forget = await #expect(throws: CoveyError.self) { try await fixture.client.forget("one") }
            #expect(forget?.code == .conflict)
            let again = await #expect(throws: CoveyError.self) {
                try await fixture.client.spawn(try fixture.sleeper("one"))
            }
            #expect(again?.code == .conflict)
            #expect(try await fixture.client.processes() == [first])
        }
    }

    @Test("a status outlives the client that started the process")
    func outlivesClient() async throws {
        try await GuardFixture.with { fixture in
            let first = fixture.otherClient()
            let process = try await first.spawn(try fixture.script("kept", "sleep 0.1; exit 42"))
            await first.close()
            let second = fixture.otherClient()
            #expect(try await second.processes().map(\.identity) == [process.identity])
            #expect(try await second.waitForExit("kept") == .known(.exited(42)))
            await second.close()
        }
    }

    @Test("a wait that is cancelled ends at once")
    func cancelledWait() async throws {
        try await GuardFixture.with { fixture in
            _ = try await fixture.client.spawn(try fixture.sleeper("endless"))
            let wait = Task { try await fixture.client.waitForExit("endless") }
            wait.cancel()
            await #expect(throws: CancellationError.self) { try await wait.value }
        }
    }
}
