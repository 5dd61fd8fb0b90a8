import CoveyGuestProtocol
import CoveyModel
import Testing

@Suite struct MessageTests {
    static let program = Program(
        arguments: ["sh", "-c", "é"], environment: ["B": "2", "A": ""], workingDirectory: "/w", user: "u:g",
        terminal: true, standardInput: true)

    static let requests: [GuestRequest] = [
        .configure(
            GuestConfiguration(
                hostname: "web", clock: Timestamp(milliseconds: 1_700_000_000_123), purpose: .program(program),
                environment: ["X": "y"],
                image: ImageConfiguration(
                    entrypoint: ["e"], command: ["c", "d"], environment: ["P": "q"], workingDirectory: "/", user: "0",
                    initPath: "/sbin/init"), terminalSize: GuestTerminalSize(rows: 1, columns: 65535), overflow: .block)
        ),
        .configure(GuestConfiguration(purpose: .imageInit(path: "/sbin/init"))),
        .configure(GuestConfiguration(clock: Timestamp(milliseconds: -1), purpose: .idle)),
        .start(GuestExecRequest(id: "a", program: program), attach: nil),
        .start(
            GuestExecRequest(id: "b", program: Program(arguments: []), overflow: .dropOldest),
            attach: GuestAttachment(channel: 1, window: 65536)),
        .attach(
            id: "c", GuestAttachment(channel: 2, window: 1, from: [.standardOutput: 0, .standardError: .max])),
        .execs, .acknowledge(id: "d"), .signal(id: "e", 9), .resize(id: "f", GuestTerminalSize()),
        .shutdown(.reboot, graceMilliseconds: 10_000), .setClock(Timestamp(milliseconds: 0)), .ping,
        .configure(
            GuestConfiguration(purpose: .idle, network: network, certificates: ["-----BEGIN CERTIFICATE-----\n", ""])),
        .setNetwork(network, hostname: "copy"), .setNetwork(GuestNetwork(), hostname: nil), .listeningPorts, .usage,
    ]

    static let network = GuestNetwork(
        interfaces: [
            GuestInterface(
                mac: MACAddress(bits: 0x0200_5E10_0001),
                addresses: [
                    GuestAddress(.v4(IPv4Address(bits: 0x0A01_0203)), prefix: 24),
                    GuestAddress(.v6(IPv6Address(high: 0xFD00_0001_0000_0000, low: 5)), prefix: 64),
                ], gateway: IPv4Address(bits: 0x0A01_0201), gateway6: IPv6Address(high: 0xFD00_0001_0000_0000, low: 1),
                mtu: 1450),
            GuestInterface(mac: MACAddress(bits: 2), addresses: [], mtu: 65535),
        ], resolvers: [.v4(IPv4Address(bits: 0x0A01_0201)), .v6(IPv6Address(high: 0, low: 1))],
        searchDomains: ["vm", "default.vm"],
        hosts: [GuestHost(.v4(IPv4Address(bits: 0x0A01_0203)), names: ["web", "web.vm"])])

    static let replies: [GuestReply] = [
        GuestReply(number: 1),
        GuestReply(
            number: .max,
            error: {
                var error = CoveyError(.notFound, "m", remedy: "r", retryable: true)
                error.causes = ["x", "y"]
                return error
            }()),
        GuestReply(number: 2, configured: .already),
        GuestReply(
            number: 3,
            execs: [
                GuestExecInfo(id: "a", pid: 7, written: [.standardOutput: 5], kept: [.standardError: 0], inputTaken: 9),
                GuestExecInfo(id: "b", exit: .exited(-1)), GuestExecInfo(id: "c", exit: .signalled(9)),
                GuestExecInfo(id: "d", exit: .notStarted(code: 127, message: "no")),
            ]),
        GuestReply(number: 4, attached: .init(from: [.standardOutput: 3], inputTaken: 1, inputCredit: 65536)),
        GuestReply(
            number: 5,
            ports: [
                ListeningPort(
                    transport: .tcp, address: .v4(IPv4Address(bits: 0)), port: 22, program: "sshd", pid: 411),
                ListeningPort(transport: .udp, address: .v6(IPv6Address(high: 0, low: 1)), port: 65535),
            ]),
        GuestReply(
            number: 6, usage: GuestUsage(memory: .mebibytes(128), available: .mebibytes(96), load: 1.25)),
    ]

    static let hello = GuestHello(
        abilities: [.exec, .clock], agentVersion: "0.1.0", bootID: "b", kernelRelease: "6.1",
        timings: GuestBootTimings(agentStarted: .milliseconds(900), rootMounted: .microseconds(1_200_345)),
        configured: true, problem: CoveyError(.failure, "x"))

    @Test("every request survives the wire", arguments: requests)
    func request(_ request: GuestRequest) throws {
        let (number, decoded) = try GuestRequest.decode(request.encoded(number: 300))
        #expect(number == 300)
        #expect(decoded == request)
    }

    @Test("every reply survives the wire", arguments: replies)
    func reply(_ reply: GuestReply) throws { #expect(try GuestReply.decode(reply.encoded) == reply) }

    @Test("hello, events and exits survive the wire")
    func others() throws {
        #expect(try GuestHello.decode(MessageTests.hello.encoded) == MessageTests.hello)
        var named = MessageTests.hello
        named.hostname = "web"
        #expect(try GuestHello.decode(named.encoded) == named)
        let events: [GuestEvent] = [
            .configured, .started, .execEnded(id: "x", .exited(3)), .rebooting, .poweringOff(reason: "r"), .goingDown,
        ]
        for event in events { #expect(try GuestEvent.decode(event.encoded) == event) }
        let exit = GuestExitMessage(exit: .signalled(11), written: [.standardOutput: 1 << 40])
        #expect(try GuestExitMessage.decode(exit.encoded) == exit)
        let error = CoveyError(.conflict, "taken")
        #expect(try GuestErrorMessage.decode(GuestErrorMessage.encode(error)) == error)
        #expect(
            try HostOpen.decode(HostOpen(version: 3, oldestVersion: 2).encoded)
                == HostOpen(version: 3, oldestVersion: 2))
    }

    @Test("the bytes of protocol 1 do not change", arguments: goldenMessages.keys.sorted())
    func golden(_ name: String) throws {
        let bytes: [UInt8] =
            switch name {
            case "hello": MessageTests.hello.encoded
            case "open": HostOpen(version: 1, oldestVersion: 1).encoded
            case "exit": GuestExitMessage(exit: .exited(7), written: [.standardOutput: 300]).encoded
            case "event": GuestEvent.execEnded(id: "main", .notStarted(code: 127, message: "no")).encoded
            case _ where name.hasPrefix("request"):
                MessageTests.requests[Int(name.dropFirst(7)) ?? 0].encoded(number: 1)
            case _: MessageTests.replies[Int(name.dropFirst(5)) ?? 0].encoded
            }
        #expect(hex(bytes) == goldenMessages[name])
    }

    @Test("what a guest says to people holds no control sequence and has an end")
    func plain() throws {
        let exit = GuestExitMessage(exit: .notStarted(code: 1, message: "a\u{1B}[2Jb\u{9B}\n"), written: [:])
        #expect(
            try GuestExitMessage.decode(exit.encoded).exit
                == .notStarted(code: 1, message: "a\u{FFFD}[2Jb\u{FFFD}\u{FFFD}"))
        let error = CoveyError(.failure, String(repeating: "x", count: 100_000))
        #expect(try GuestErrorMessage.decode(GuestErrorMessage.encode(error)).message.count == 1024)
    }

    @Test("addresses of an odd length, ports without a number and more ports than there may be are refused")
    func hostileFigures() throws {
        func reply(_ body: (inout FieldWriter) -> Void) -> [UInt8] {
            var out = FieldWriter()
            out.put(1, UInt64(1))
            body(&out)
            return out.bytes
        }
        func port(_ out: inout FieldWriter, address: [UInt8], number: UInt64?, transport: UInt64 = 1) {
            out.put(6) {
                $0.put(1, transport)
                $0.put(2, address)
                $0.put(3, number)
            }
        }
        for bytes in [
            reply { port(&$0, address: [1, 2, 3], number: 1) }, reply { port(&$0, address: [], number: 1) },
            reply { port(&$0, address: [1, 2, 3, 4], number: nil) },
            reply { port(&$0, address: [1, 2, 3, 4], number: 65536) },
            reply { port(&$0, address: [1, 2, 3, 4], number: 1, transport: 3) },
            reply { out in for _ in 0...1024 { port(&out, address: [1, 2, 3, 4], number: 1) } },
            reply { $0.put(7) { $0.put(1, UInt64.max) } },
        ] {
            #expect(throws: FrameFault.self) { _ = try GuestReply.decode(bytes) }
        }
        let program = GuestReply(
            number: 1,
            ports: [ListeningPort(transport: .tcp, address: .v4(IPv4Address(bits: 1)), port: 1, program: "a\u{1B}[2J")])
        #expect(try GuestReply.decode(program.encoded).ports.first?.program == "a\u{FFFD}[2J")
    }

    @Test("fields and requests that a program does not know are skipped")
    func unknown() throws {
        #expect(try GuestReply.decode(GuestReply(number: 5).encoded + [200, 2, 9, 9]) == GuestReply(number: 5))
        #expect(try GuestRequest.decode([1, 1, 5, 2, 1, 99]).request == nil)
        #expect(try GuestEvent.decode([1, 1, 99]) == nil)
    }

    @Test("a message longer than a frame comes whole, and one longer than 1 MiB is refused")
    func long() throws {
        var host = HostSideSession(session: 5)
        let program = Program(arguments: ["sh", "-c", String(repeating: "x", count: 200_000)])
        let request = GuestRequest.start(GuestExecRequest(id: "a", program: program), attach: nil)
        var side = GuestSideSession()
        side.receive(host.opening + (try host.request(request)).bytes)
        guard case .opened? = side.next() else {
            Issue.record("the session did not open")
            return
        }
        #expect(side.next() == .request(number: 1, request))
        let huge = Program(arguments: [String(repeating: "x", count: 1 << 20)])
        #expect(throws: CoveyError.self) {
            _ = try host.request(.start(GuestExecRequest(id: "a", program: huge), attach: nil))
        }
    }

    @Test("no bytes make a decoder crash", arguments: 0..<20)
    func fuzz(_ seed: Int) {
        var seeded = Seeded(state: UInt64(seed))
        let whole =
            MessageTests.requests.map { $0.encoded(number: 1) } + MessageTests.replies.map(\.encoded)
            + [MessageTests.hello.encoded]
        for _ in 0..<2000 {
            var bytes = whole[Int.random(in: 0..<whole.count, using: &seeded)]
            switch Int.random(in: 0..<4, using: &seeded) {
            case 0: bytes = seeded.bytes(Int.random(in: 0..<200, using: &seeded))
            case 1: bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &seeded)))
            case 2:
                for _ in 0...Int.random(in: 0..<4, using: &seeded) {
                    bytes[Int.random(in: 0..<bytes.count, using: &seeded)] = .random(in: .min ... .max, using: &seeded)
                }
            case _: bytes.insert(contentsOf: seeded.bytes(3), at: Int.random(in: 0...bytes.count, using: &seeded))
            }
            _ = try? GuestRequest.decode(bytes)
            _ = try? GuestReply.decode(bytes)
            _ = try? GuestHello.decode(bytes)
            _ = try? GuestEvent.decode(bytes)
            _ = try? GuestExitMessage.decode(bytes)
            _ = try? GuestErrorMessage.decode(bytes)
        }
    }

    @Test("no stream makes a side crash, or hold more than a frame", arguments: 0..<20)
    func fuzzStreams(_ seed: Int) throws {
        var seeded = Seeded(state: UInt64(seed) + 100)
        var host = HostSideSession(session: 5)
        var good = host.opening
        for request in MessageTests.requests { good += try host.request(request).bytes }
        good += host.input(channel: 1, offset: 0, seeded.bytes(100))
        var guest = GuestSideSession()
        guest.receive(host.opening)
        _ = guest.next()
        var answers = guest.hello(MessageTests.hello)
        for reply in MessageTests.replies { answers += guest.reply(reply) }
        answers += guest.output(channel: 1, .standardOutput, offset: 0, [1, 2, 3])
        for _ in 0..<60 {
            var reader = GuestFrameReader()
            var side = GuestSideSession()
            var other = HostSideSession(session: 5)
            for _ in 0..<10 {
                var piece = Bool.random(using: &seeded) ? good : seeded.bytes(500)
                if Bool.random(using: &seeded) {
                    piece[Int.random(in: 0..<piece.count, using: &seeded)] ^=
                        1 << UInt8.random(in: 0..<8, using: &seeded)
                }
                piece = Array(piece.prefix(Int.random(in: 0...piece.count, using: &seeded)))
                side.receive(piece)
                while side.next() != nil {}
                reader.append(piece)
                while reader.next() != nil {}
                #expect(reader.held <= Frame.longestPayload + Frame.headerLength + SessionMarker.bytes.count)
                var answer = answers
                answer[Int.random(in: 0..<answer.count, using: &seeded)] ^= 1 << UInt8.random(in: 0..<8, using: &seeded)
                other.receive(Array(answer.prefix(Int.random(in: 0...answer.count, using: &seeded))))
                do { while try other.next() != nil {} } catch { other = HostSideSession(session: 5) }
            }
        }
    }
}
