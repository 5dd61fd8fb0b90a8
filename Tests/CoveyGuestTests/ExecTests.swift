import CoveyGuestProtocol
import CoveyModel
import Testing

@Suite struct ExecTests {
    @Test("a program's outputs and exit code come apart")
    func outputs() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            #expect(session.hello.bootID == "boot-1")
            let all = try await collect(try await session.run(shell("echo out; echo err >&2; exit 7")))
            #expect(all.text == "out\n")
            #expect(all.errorText == "err\n")
            #expect(all.exit == .exited(7))
            await session.close()
        }
    }

    @Test("environment, folder and arguments reach the program as they are")
    func surroundings() async throws {
        try await withAgent { agent in
            let session = try await agent.connect()
            let image = ImageConfiguration(environment: ["A": "image", "B": "image"], workingDirectory: "/usr")
            let configuration = GuestConfiguration(purpose: .idle, environment: ["B": "machine"], image: image)
            #expect(try await session.configure(configuration) == .done)
            #expect(try await session.configure(configuration) == .already)
            var request = shell("echo $A $B $C $PWD \"$0\"")
            request.program.arguments.append("a  b")
            request.program.environment = ["C": "exec"]
            #expect(try await collect(try await session.run(request)).text == "image machine exec /usr a  b\n")
            request.id = "y"
            request.program.workingDirectory = "/etc"
            #expect(try await collect(try await session.run(request)).text == "image machine exec /etc a  b\n")
        }
    }

    @Test("a program that is not found ends with 127, one that is no program with 126, a wrong user or folder with 125")
    func notStarted() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            func code(_ program: Program, _ id: String) async throws -> Int32? {
                let exit = try await collect(try await session.run(GuestExecRequest(id: id, program: program))).exit
                guard case .notStarted(let code, let message) = exit else { return nil }
                #expect(!message.isEmpty)
                return code
            }
            #expect(try await code(Program(arguments: ["no-such-program"]), "a") == 127)
            #expect(try await code(Program(arguments: ["/no/such/program"]), "b") == 127)
            #expect(try await code(Program(arguments: ["/etc/passwd"]), "c") == 126)
            #expect(try await code(Program(arguments: ["true"], user: "no-such-user"), "d") == 125)
            #expect(try await code(Program(arguments: ["true"], workingDirectory: "/no/such"), "e") == 125)
            #expect(try await code(Program(arguments: []), "f") == 127)
        }
    }

    @Test("a signal reaches the whole process group and is how the program ended")
    func signals() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let stream = try await session.run(shell("sleep 1000 & echo up; wait"))
            #expect(try await stream.next() == .bytes(.standardOutput, offset: 0, Array("up\n".utf8)))
            try await stream.signal(15)
            #expect(try await collect(stream).exit == .signalled(15))
        }
    }

    @Test("10 MB through standard input come back byte for byte")
    func echo() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let request = GuestExecRequest(id: "cat", program: Program(arguments: ["cat"], standardInput: true))
            let stream = try await session.run(request)
            var seeded = Seeded(state: 1)
            let block = seeded.bytes(1 << 16) + SessionMarker.bytes + seeded.bytes(100)
            let blocks = 160
            async let all = collect(stream)
            for _ in 0..<blocks { try await stream.write(block) }
            try await stream.closeInput()
            let collected = try await all
            #expect(collected.exit == .exited(0))
            #expect(collected.output.count == blocks * block.count)
            #expect(
                stride(from: 0, to: collected.output.count, by: block.count).allSatisfy {
                    collected.output[$0..<min($0 + block.count, collected.output.count)].elementsEqual(block)
                })
        }
    }

    @Test("input that a program does not want is dropped, and does not hold the writer")
    func unwantedInput() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let stream = try await session.run(shell("exec <&-; read x < /dev/null; exit 3", input: true))
            for _ in 0..<64 { try await stream.write([UInt8](repeating: 65, count: 65536)) }
            #expect(try await collect(stream).exit == .exited(3))
        }
    }

    @Test("a terminal has the size that was asked for, follows changes, and ends with its end-of-file character")
    func terminal() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            var request = shell("test -t 0 && stty size; read line; stty size; cat", terminal: true)
            request.terminalSize = GuestTerminalSize(rows: 11, columns: 33)
            let stream = try await session.run(request)
            var text = ""
            func readUntil(_ wanted: String) async throws {
                while !text.contains(wanted), case .bytes(_, _, let bytes)? = try await stream.next() {
                    text += String(decoding: bytes, as: UTF8.self)
                }
            }
            try await readUntil("11 33")
            try await stream.resize(GuestTerminalSize(rows: 44, columns: 55))
            try await stream.write(Array("go\n".utf8))
            try await readUntil("44 55")
            try await stream.closeInput()
            #expect(try await collect(stream).exit == .exited(0))
        }
    }

    @Test("a program runs as the user that was asked for, with that user's groups only")
    func users() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let nobody = try await collect(try await session.run(shell("id -u; id -g; id -G", user: "nobody")))
            #expect(nobody.text == "65534\n65534\n65534\n")
            let both = try await collect(try await session.run(shell("id -u; id -g; id -G", id: "y", user: "12:34")))
            #expect(both.text == "12\n34\n34\n")
            let home = try await collect(try await session.run(shell("echo $HOME", id: "z", user: "root")))
            #expect(home.text == "/root\n")
        }
    }

    @Test("50 programs at once each keep their own output and code")
    func many() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        let request = shell(
                            "echo \(number); head -c 100000 /dev/zero; exit \(number)", id: "e\(number)")
                        let all = try await collect(try await session.run(request))
                        #expect(all.output.count == "\(number)\n".utf8.count + 100_000)
                        #expect(all.text.hasPrefix("\(number)\n"))
                        #expect(all.exit == .exited(Int32(number)))
                        try await session.acknowledge("e\(number)")
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await session.execs() == [])
        }
    }

    @Test("a grandchild that keeps an output open does not hold the exit back")
    func grandchild() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let stream = try await session.run(shell("sleep 1000 & echo $!; exit 4"))
            let all = try await collect(stream)
            #expect(all.exit == .exited(4))
            let pid = all.text.split(separator: "\n").first.map(String.init) ?? ""
            _ = try await collect(try await session.run(shell("kill \(pid)", id: "y")))
        }
    }

    @Test("the main program's end is told, and the machine powers off once it is acknowledged")
    func mainProgram() async throws {
        try await withAgent { agent in
            let session = try await agent.connect()
            let program = Program(arguments: ["sh", "-c", "echo hi; exit 9"])
            try await session.configure(GuestConfiguration(hostname: "web", purpose: .program(program)))
            var events: [GuestEvent] = []
            for await event in session.events {
                events.append(event)
                if case .execEnded = event { break }
            }
            #expect(events.last == .execEnded(id: mainExecID, .exited(9)))
            #expect(events.contains(.started))
            #expect(agent.record.all == ["configure web"])
            #expect(try await collect(try await session.attach(mainExecID)).text == "hi\n")
            try await session.acknowledge(mainExecID)
            for await event in session.events {
                if event == .poweringOff(reason: "program ended") { break }
            }
            try await session.ping()
            #expect(agent.record.all == ["configure web", "begin powerOff", "end powerOff"])
        }
    }

    @Test("a shutdown that is asked for is announced, and waits for the programs no longer than its grace")
    func shutdown() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            try await session.start(shell("trap '' TERM; sleep 1000"))
            try await session.shutdown(.reboot, grace: .milliseconds(50))
            for await event in session.events where event == .rebooting { break }
            while !agent.record.all.contains("end reboot") { try await session.ping() }
            #expect(agent.record.all == ["configure h", "begin reboot", "end reboot"])
        }
    }

    @Test("before a configuration, and on a machine with a problem, nothing is started")
    func unconfigured() async throws {
        try await withAgent(problem: CoveyError(.notFound, "no root disk")) { agent in
            let session = try await agent.connect()
            #expect(session.hello.problem?.message == "no root disk")
            await #expect { try await session.start(shell("true")) } throws: { ($0 as? CoveyError)?.code == .conflict }
            await #expect {
                try await session.configure(GuestConfiguration(purpose: .idle))
            } throws: {
                ($0 as? CoveyError)?.message == "no root disk"
            }
            await #expect { try await session.attach("none") } throws: { ($0 as? CoveyError)?.code == .notFound }
        }
    }
}
