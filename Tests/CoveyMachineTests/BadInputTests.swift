import CoveySystem
import Glibc
import Testing

@Suite("What bad input gets", .tags(.machine), .serialized, .host)
struct BadInputTests {
    struct Refusal: Sendable, CustomTestStringConvertible {
        var arguments: [String]
        var code: Int32
        var testDescription: String { "\(arguments.joined(separator: " ")): \(code)" }

        init(_ line: String, _ code: Int32) {
            arguments = line.split(separator: " ").map(String.init)
            self.code = code
        }
    }

    @Test(
        "a bad value or an unknown name gets the documented code, an error and a hint, and leaves nothing",
        arguments: [
            Refusal("vm create nosuch", 3), Refusal("run --rm nosuch -- true", 125),
            Refusal("vm create --kernel nosuch busybox", 3), Refusal("run --kernel nosuch busybox -- true", 125),
            Refusal("vm create --name Bad_Name busybox", 2), Refusal("run --name Bad_Name busybox -- true", 125),
            Refusal("vm create --name -x busybox", 2), Refusal("vm create --cpus 0 busybox", 2),
            Refusal("vm create --cpus 100000 busybox", 2), Refusal("vm create --cpus many busybox", 2),
            Refusal("vm create --memory 0 busybox", 2), Refusal("vm create --memory 1K busybox", 2),
            Refusal("vm create --memory 900G busybox", 7), Refusal("vm create --memory 9000T busybox", 2),
            Refusal("vm create --disk 0 busybox", 2), Refusal("vm create --disk 16M busybox", 2),
            Refusal("vm create --disk 900T busybox", 2), Refusal("run --disk 900T busybox -- true", 125),
            Refusal("run --cpus 0 busybox -- true", 125), Refusal("run --memory 1K busybox -- true", 125),
            Refusal("vm create --driver nosuch busybox", 2), Refusal("vm create --accel kvm3 busybox", 2),
            Refusal("vm inspect nosuch", 3), Refusal("vm start nosuch", 3), Refusal("vm stop nosuch", 3),
            Refusal("vm rm nosuch", 3), Refusal("logs nosuch", 3), Refusal("image inspect nosuch", 3),
            Refusal("kernel inspect nosuch", 3), Refusal("kernel import /nosuch/file", 3),
            Refusal("operation inspect nosuch", 3), Refusal("vm nosuch", 2), Refusal("run", 2),
        ])
    func refused(_ refusal: Refusal) async throws {
        let host = try await TestHost.current()
        let outcome = try await host.run(refusal.arguments)
        #expect(outcome.code == refusal.code, "\(outcome)")
        #expect(outcome.isClearError, "\(outcome)")
        #expect(outcome.bytes.isEmpty, "\(outcome)")
        #expect(try await host.succeed("vm", "ls", "-q").text.isEmpty)
        #expect(try host.leftOfMachines().isEmpty)
    }

    @Test("a second machine of a name is a conflict, and the first one stays as it is")
    func duplicate() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--no-start", "--name", "twice", "busybox")
        let first = try await host.inspect("twice").id
        let second = try await host.run("vm", "create", "--name", "twice", "busybox")
        #expect(second.code == 4 && second.isClearError, "\(second)")
        let third = try await host.run("run", "--rm", "--name", "twice", "busybox", "--", "true")
        #expect(third.code == 125 && third.isClearError, "\(third)")
        #expect(try await host.inspect("twice").id == first)
        try await host.succeed("vm", "rm", "twice")
        #expect(try host.leftOfMachines().isEmpty)
    }

    @Test(
        "a kernel file that is damaged is refused clearly, and nothing of it stays",
        arguments: ["noise", "half", "empty"])
    func damagedKernel(_ kind: String) async throws {
        let host = try await TestHost.current()
        let path = "\(host.folder)/\(kind).deb"
        let bytes: [UInt8] =
            switch kind {
            case "noise": (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7919 &+ $0 >> 3) }
            case "half": Array(try readFile(host.programs.kernelPackage).prefix(9_000_000))
            default: []
            }
        try writeFileAtomically(path, bytes, mode: 0o644)
        let before = try await host.succeed("kernel", "ls", "-q").lines
        let folders = try listFolder("\(host.root)/kernels")
        let outcome = try await host.run("kernel", "import", "--name", "damaged", path)
        #expect([1, 2].contains(outcome.code), "\(outcome)")
        #expect(outcome.isClearError, "\(outcome)")
        #expect(try await host.succeed("kernel", "ls", "-q").lines == before)
        #expect(try listFolder("\(host.root)/kernels") == folders)
        #expect(try listFolder("\(host.root)/images/.uploads").isEmpty)
    }
}
