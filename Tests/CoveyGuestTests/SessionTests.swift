import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Testing

@Suite struct SessionTests {
    @Test("a program outlives its session, and a new one resumes at a byte without loss or repetition")
    func resume() async throws {
        try await withAgent { agent in
            let lines = 200_000
            let first = try await agent.idle()
            _ = try await first.run(shell("seq \(lines)")).next()
            await first.close()
            var output: [UInt8] = []
            var sessions = 0
            var ended = false
            while !ended {
                let session = try await agent.connect()
                #expect(session.hello.configured)
                #expect(try await session.execs().map(\.id) == ["x"])
                let resumed = try await session.attach("x", from: [.standardOutput: UInt64(output.count)])
                let goal = output.count + 200_000
                while output.count < goal, let item = try await resumed.next() {
                    guard case .bytes(_, let offset, let bytes) = item else {
                        #expect(item == .ended(.exited(0)))
                        ended = true
                        break
                    }
                    #expect(Int(offset) == output.count)
                    output += bytes
                }
                await session.close()
                sessions += 1
            }
            #expect(sessions > 4)
            let expected = (1...lines).map { "\($0)\n" }.joined()
            #expect(output == Array(expected.utf8))
        }
    }

    @Test("standard input goes on where the guest says that it has taken it")
    func resumeInput() async throws {
        try await withAgent { agent in
            let first = try await agent.idle()
            let request = GuestExecRequest(id: "cat", program: Program(arguments: ["cat"], standardInput: true))
            let stream = try await first.run(request)
            try await stream.write(Array("abc".utf8))
            #expect(try await stream.next() == .bytes(.standardOutput, offset: 0, Array("abc".utf8)))
            await first.close()
            let second = try await agent.connect()
            let resumed = try await second.attach("cat", from: [.standardOutput: 1])
            #expect(resumed.inputTaken == 3)
            try await resumed.write(Array("def".utf8))
            try await resumed.closeInput()
            #expect(try await collect(resumed).text == "bcdef")
        }
    }

    @Test("a manual reader can resume behind what it has read, and no more than 256 KiB come unacknowledged")
    func manual() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let total = 600_000
            let stream = try await session.run(shell("head -c \(total) /dev/zero"), acknowledgement: .manual)
            var read = 0
            while read < 256 << 10, case .bytes(_, _, let bytes)? = try await stream.next() { read += bytes.count }
            #expect(read == 256 << 10)
            try await stream.acknowledge(.standardOutput, through: 1000)
            await session.close()
            let second = try await agent.connect()
            let resumed = try await second.attach("x", from: [.standardOutput: 1000])
            let all = try await collect(resumed)
            #expect(all.dropped == 0)
            #expect(all.output.count == total - 1000)
        }
    }

    @Test("a starter that repeats itself starts nothing, and another reader takes a program over")
    func repeats() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let request = GuestExecRequest(id: "cat", program: Program(arguments: ["cat"], standardInput: true))
            let first = try await session.run(request)
            let pid = try await session.execs().first?.pid
            let second = try await session.run(request)
            #expect(try await session.execs().first?.pid == pid)
            await #expect { try await first.next() } throws: { ($0 as? CoveyError)?.code == .conflict }
            try await second.closeInput()
            #expect(try await collect(second).exit == .exited(0))
        }
    }

    @Test("half a frame of an old session, at any cut, does not disturb the next one")
    func halfFrame() async throws {
        try await withAgent { agent in
            try await agent.idle().close()
            var old = HostSideSession(session: 42)
            let request = try old.request(.start(shell("echo never", id: "never"), attach: nil)).bytes
            let whole = old.opening + request + request
            for cut in [1, 7, 15, 16, 20, old.opening.count, old.opening.count + 5, whole.count - request.count - 1] {
                let stream = try await agent.raw()
                try await stream.write(Array(whole.prefix(cut)))
                stream.shutdown()
                let session = try await agent.connect()
                try await session.ping()
                #expect(try await session.execs() == [])
                await session.close()
            }
        }
    }

    @Test("garbage from a host ends nothing but its session")
    func garbageFromHost() async throws {
        try await withAgent { agent in
            let first = try await agent.idle()
            try await first.start(shell("sleep 1000"))
            await first.close()
            var seeded = Seeded(state: 7)
            for _ in 0..<20 {
                let stream = try await agent.raw()
                var host = HostSideSession(session: 43)
                try await stream.write(host.opening + seeded.bytes(3000))
                _ = try host.request(.ping)
                stream.shutdown()
            }
            let session = try await agent.connect()
            #expect(try await session.execs().map(\.id) == ["x"])
        }
    }

    @Test("a guest that breaks the protocol ends the session as corrupt, with every wait in it")
    func garbageFromGuest() async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        var pair = try socketPair()
        let host = try ByteStream(pair.takeFirst(), reactor: reactor)
        let guest = try ByteStream(pair.takeSecond(), reactor: reactor)
        let connector = UnixGuestConnectorOpen(host)
        async let opening = connector.open()
        var side = GuestSideSession()
        try await guest.write([1, 2, 3] + Frame(session: 9, channel: 0, type: .hello, payload: [1, 2]).bytes)
        opened: while true {
            side.receive(try await guest.read())
            while let input = side.next() {
                if case .opened = input { break opened }
            }
        }
        try await guest.write(side.hello(GuestHello(abilities: [], agentVersion: "", bootID: "b")))
        let session = try await opening
        #expect(session.hello.bootID == "b")
        let answer = Task { try await session.execs() }
        side.receive(try await guest.read())
        try await guest.write([UInt8](repeating: 0xEE, count: 100))
        await #expect { _ = try await answer.value } throws: { ($0 as? CoveyError)?.code == .corrupt }
        var last: GuestEvent?
        for await event in session.events { last = event }
        guard case .ended(let error?) = last else {
            Issue.record("the session ended without a reason")
            return
        }
        #expect(error.code == .corrupt)
        await #expect { try await session.ping() } throws: { ($0 as? CoveyError)?.code == .corrupt }
    }

    @Test("a silent guest is waited for until the deadline, and no longer")
    func silence() async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let folder = "/tmp/cvy-guest-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        let listener = try listenUnix("\(folder)/s")
        let connector = UnixConnector(reactor: reactor)
        await #expect { try await connector.connect(to: "\(folder)/s", .milliseconds(100)) } throws: {
            ($0 as? CoveyError)?.code == .deadline
        }
        await #expect { try await connector.connect(to: "\(folder)/none", .seconds(5)) } throws: {
            ($0 as? CoveyError)?.code == .unavailable
        }
        _ = listener.raw
        try removeTree(folder)
    }

    @Test("a reader that stops makes the program wait, and neither side's memory grow")
    func flowControl() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let stream = try await session.run(shell("head -c 50000000 /dev/zero; echo"))
            _ = try await stream.next()
            var written: UInt64 = 0
            // The program stands still once the pipe, the guest's ring and the window are full.
            while true {
                let now = try await session.execs().first?.written[.standardOutput] ?? 0
                _ = try await collect(try await session.run(shell("sleep 0.1", id: "t\(now)-\(written)")))
                if now == written { break }
                written = now
            }
            #expect(written <= 800_000)
            let all = try await collect(stream)
            #expect(all.exit == .exited(0))
            #expect(all.dropped == 0)
        }
    }

    @Test("an output that nobody takes drops its oldest bytes where that was asked for, and says how many")
    func dropsOldest() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            try await session.start(shell("head -c 1000000 /dev/zero; echo end", overflow: .dropOldest))
            for await event in session.events {
                if case .execEnded = event { break }
            }
            let stream = try await session.attach("x", from: [.standardOutput: 0])
            let all = try await collect(stream)
            #expect(all.dropped + UInt64(all.output.count) == 1_000_004)
            #expect(all.output.count == 256 << 10)
            #expect(all.output.suffix(4) == Array("end\n".utf8)[...])
        }
    }

    @Test("the guest keeps the newest 64 ended programs that nobody acknowledged")
    func ended() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            for number in 0..<70 { _ = try await collect(try await session.run(shell("exit 0", id: "e\(number)"))) }
            #expect(try await session.execs().map(\.id) == (6..<70).map { "e\($0)" })
        }
    }

    @Test("the clock is set as told")
    func clock() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            try await session.setClock(Timestamp(milliseconds: 1_700_000_000_123))
            #expect(agent.record.all.last == "clock 2023-11-14T22:13:20.123Z")
        }
    }
}
