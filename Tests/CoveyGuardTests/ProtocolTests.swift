import CoveyGuardProtocol
import CoveyModel
import CoveyTesting
import Testing

@Suite struct ProtocolTests {
    static var spawn: GuardSpawn {
        var spawn = GuardSpawn(name: "vm-1", mark: "m", arguments: ["/bin/true", "x"], user: 1000)
        spawn.environment = ["A=B"]
        spawn.descriptorNumbers = [3, 9]
        spawn.console = GuardConsole(number: 4, path: "/c", limit: .kibibytes(8))
        spawn.errorLog = "/e"
        spawn.memory = .mebibytes(1)
        spawn.tasks = 5
        spawn.milliCPUs = 1500
        spawn.openFiles = 64
        spawn.groups = [108]
        return spawn
    }

    static let process = GuardedProcess(name: "vm-1", pid: 7, startTime: 99, bootID: "b", end: .exited(3))

    static let requests: [GuardRequest] = [
        .hello(clientVersion: "1"), .spawn(spawn), .list(after: "a"), .wait(name: "n"), .cancelWait(id: 8),
        .signal(name: "n", signal: 15), .kill(name: "n"), .forget(name: "n"), .limitations, .replace(path: "/p"),
        .shutdown,
    ]

    static let responses: [GuardResponse] = [
        .hello(GuardFacts(protocolVersion: 1, programVersion: "1", instance: "0123abcd", pid: 4, replacements: 2)),
        .process(process),
        .processes(
            [process, GuardedProcess(name: "b", pid: 8, startTime: 1, bootID: "b", end: .unknown)], more: true),
        .done, .limitations(["a", "b"]),
        .failure(
            CoveyError(.notFound, "m", remedy: "r", resource: ResourceReference("process", "n"), retryable: true)),
    ]

    @Test("every request and answer is read as it was written")
    func roundTrip() throws {
        for request in Self.requests {
            let (id, read, _) = try GuardRequest.decode(request.encoded(id: 77))
            #expect(id == 77)
            #expect(read == request)
        }
        for response in Self.responses {
            let (id, read) = try GuardResponse.decode(response.encoded(id: 78))
            #expect(id == 78)
            #expect(read == response)
        }
    }

    @Test("the bytes of version 1 stay as they are")
    func goldenBytes() throws {
        func hex(_ bytes: [UInt8]) -> String {
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        #expect(
            hex(GuardRequest.signal(name: "ab", signal: 15).encoded(id: 1))
                == "63767967" + "0100" + "0600" + "0100000000000000" + "0100" + "02000000" + "6162" + "0200"
                + "04000000" + "0f000000")
        #expect(
            hex(GuardRequest.hello(clientVersion: "1").encoded(id: 2))
                == "63767967" + "0100" + "0100" + "0200000000000000" + "0100" + "01000000" + "31")
        #expect(
            hex(GuardRequest.replace(path: "/p").encoded(id: 3))
                == "63767967" + "0100" + "0a00" + "0300000000000000" + "0100" + "02000000" + "2f70")
        #expect(hex(GuardRequest.spawn(Self.spawn).encoded(id: 4)) == Self.goldenSpawn)
        #expect(
            hex(GuardResponse.process(Self.process).encoded(id: 5))
                == "63767967" + "0100" + "0280" + "0500000000000000" + "0100" + "3a000000" + "0100" + "04000000"
                + "766d2d31" + "0200" + "04000000" + "07000000" + "0300" + "08000000" + "6300000000000000" + "0400"
                + "01000000" + "62" + "0500" + "01000000" + "00" + "0600" + "04000000" + "03000000")
    }

    private static let goldenSpawn =
        "63767967" + "0100" + "0200" + "0400000000000000" + "0100" + "04000000" + "766d2d31" + "0200" + "01000000"
        + "6d" + "0300" + "09000000" + "2f62696e2f74727565" + "0300" + "01000000" + "78" + "0400" + "03000000"
        + "413d42" + "0500" + "01000000" + "2f" + "0600" + "04000000" + "e8030000" + "0700" + "04000000" + "03000000"
        + "0700" + "04000000" + "09000000" + "0800" + "20000000" + "0100" + "04000000" + "04000000" + "0200"
        + "02000000" + "2f63" + "0300" + "08000000" + "0020000000000000" + "0900" + "02000000" + "2f65" + "0a00"
        + "01000000" + "01" + "0b00" + "08000000" + "0000100000000000" + "0c00" + "04000000" + "05000000" + "0d00"
        + "04000000" + "dc050000" + "0e00" + "04000000" + "40000000" + "0f00" + "04000000" + "6c000000"

    @Test("unknown fields are skipped and unknown kinds keep their id")
    func forwardCompatible() throws {
        let packet = GuardRequest.kill(name: "n").encoded(id: 9) + [0xFF, 0x7F, 2, 0, 0, 0, 1, 2]
        #expect(try GuardRequest.decode(packet).request == .kill(name: "n"))
        var unknown = GuardRequest.shutdown.encoded(id: 10)
        unknown[6] = 0xEE
        let (id, request, kind) = try GuardRequest.decode(unknown)
        #expect(id == 10 && request == nil && kind == 0xEE)
    }

    @Test("no bytes, however they are changed, do more than throw, and what is read is written the same")
    func fuzz() throws {
        var generator = SeededGenerator(seed: 42)
        let packets = Self.requests.map { $0.encoded(id: 1) } + Self.responses.map { $0.encoded(id: 1) }
        var accepted = 0
        var refused = 0
        for _ in 0..<40_000 {
            var packet = packets.randomElement(using: &generator) ?? []
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: 0..<packet.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: packet[index] = UInt8.random(in: .min ... .max, using: &generator)
                case 1: packet.removeSubrange(index...)
                case 2: packet.insert(UInt8.random(in: .min ... .max, using: &generator), at: index)
                default: packet[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                }
                if packet.isEmpty { packet = [0] }
            }
            do {
                let (id, request, _) = try GuardRequest.decode(packet)
                if let request { #expect(try GuardRequest.decode(request.encoded(id: id)).request == request) }
                accepted += 1
            } catch { refused += 1 }
            do {
                let (id, response) = try GuardResponse.decode(packet)
                #expect(try GuardResponse.decode(response.encoded(id: id)).response == response)
                accepted += 1
            } catch { refused += 1 }
        }
        #expect(accepted > 1000 && refused > 1000)
    }
}
