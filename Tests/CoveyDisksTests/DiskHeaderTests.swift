import CoveyModel
import CoveySystem
import Testing

@testable import CoveyDisks

@Suite struct DiskHeaderTests {
    private func qcow2(
        version: UInt32 = 3, backing: UInt64 = 0, size: UInt64 = 1 << 30, encryption: UInt32 = 0, features: UInt64 = 0
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.bigEndian) { bytes += $0 } }
        put(UInt32(0x5146_49FB))
        put(version)
        put(backing)
        put(UInt32(backing == 0 ? 0 : 10))
        put(UInt32(16))
        put(size)
        put(encryption)
        bytes += [UInt8](repeating: 0, count: 72 - bytes.count)
        put(features)
        return bytes + [UInt8](repeating: 0, count: 512)
    }

    private func header(_ bytes: [UInt8]) throws -> Qcow2Header {
        try bytes.withUnsafeBytes { try Qcow2Header($0, subject: "disk.qcow2") }
    }

    @Test("a qcow2 file that is whole in itself is taken")
    func alone() throws {
        let header = try header(qcow2())
        #expect(header.size == .gibibytes(1))
        try header.requireAlone("disk.qcow2")
        try self.header(qcow2(version: 2)).requireAlone("disk.qcow2")
    }

    @Test("a qcow2 file that names another file, or is encrypted, is refused with a remedy")
    func notAlone() throws {
        let cases: [([UInt8], ErrorCode, String)] = [
            (qcow2(backing: 104), .invalid, "backing file"), (qcow2(features: 4), .invalid, "another file"),
            (qcow2(encryption: 1), .unsupported, "encrypted"),
        ]
        for (bytes, code, words) in cases {
            let header = try header(bytes)
            let error = #expect(throws: CoveyError.self) { try header.requireAlone("disk.qcow2") }
            #expect(error?.code == code)
            #expect(error?.message.contains(words) == true)
            #expect(error?.remedy?.contains("qemu-img convert") == true)
        }
    }

    @Test("a qcow2 header that is cut off, of another version or absurd is refused")
    func damaged() {
        for bytes in [Array(qcow2().prefix(20)), qcow2(size: 0), qcow2(size: .max), qcow2(version: 9)] {
            #expect(throws: CoveyError.self) { try self.header(bytes) }
        }
    }

    @Test("a disk's partitions are found by GPT and by MBR; none lies outside of the disk")
    func partitions() throws {
        var gpt = [UInt8](repeating: 0, count: PartitionTable.needed)
        func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
            withUnsafeBytes(of: value.littleEndian) { gpt.replaceSubrange(offset..<(offset + $0.count), with: $0) }
        }
        put(UInt16(0xAA55), at: 510)
        gpt.replaceSubrange(512..<520, with: Array("EFI PART".utf8))
        put(UInt64(2), at: 512 + 72)
        put(UInt32(128), at: 512 + 80)
        put(UInt32(128), at: 512 + 84)
        for (index, range) in [(2048, 4095), (4096, 8191), (6000, 100_000)].enumerated() {
            put(UInt64(0x4F68_BCE3), at: 1024 + index * 128)
            put(UInt64(range.0), at: 1024 + index * 128 + 32)
            put(UInt64(range.1), at: 1024 + index * 128 + 40)
        }
        let table = gpt.withUnsafeBytes { PartitionTable($0, size: .mebibytes(8)) }
        #expect(table?.partitions.map(\.offset) == [2048 * 512, 4096 * 512])
        #expect(table?.partitions.map(\.size) == [2048 * 512, 4096 * 512])

        var mbr = [UInt8](repeating: 0, count: 512)
        mbr.replaceSubrange(510..<512, with: [0x55, 0xAA])
        mbr.replaceSubrange(446..<462, with: [0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0])
        let old = mbr.withUnsafeBytes { PartitionTable($0, size: .mebibytes(8)) }
        #expect(old?.partitions == [.init(offset: 2048 * 512, size: 2048 * 512)])
    }

    @Test("no content of a file's beginning crashes what looks at it")
    func mutations() {
        var seed: UInt64 = 3
        func next() -> UInt64 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return seed >> 20
        }
        for _ in 0..<2000 {
            var bytes = (0..<(600 + Int(next() % 2000))).map { _ in UInt8(truncatingIfNeeded: next()) }
            switch next() % 4 {
            case 0: bytes.replaceSubrange(0..<4, with: Array("QFI".utf8) + [0xFB])
            case 1: if bytes.count > 1082 { bytes.replaceSubrange(1080..<1082, with: [0x53, 0xEF]) }
            case 2: bytes.replaceSubrange(510..<520, with: [0x55, 0xAA] + Array("EFI PART".utf8))
            default: break
            }
            bytes.withUnsafeBytes { bytes in
                if let file = try? DiskImageFile(bytes, size: .mebibytes(4), subject: "x"),
                    case .partitioned(let table) = file
                {
                    #expect(table.partitions.allSatisfy { $0.offset >= 0 && $0.offset + $0.size <= 4 << 20 })
                }
                if let block = try? Ext4Superblock(bytes, subject: "x") { #expect(block.size.bytes > 0) }
            }
        }
    }

    @Test("what is no root file system is called by what it is")
    func others() {
        func words(_ bytes: [UInt8]) -> String? {
            bytes.withUnsafeBytes { bytes in
                #expect(throws: CoveyError.self) {
                    try DiskImageFile(bytes, size: ByteCount(Int64(bytes.count)), subject: "thing")
                }?.message
            }
        }
        #expect(words([]) == "thing is empty")
        #expect(words(Array("hsqs".utf8) + [0, 0]) == "thing is a squashfs file system")
        #expect(words([0x7F, 0x45, 0x4C, 0x46, 2]) == "thing is a program")
        #expect(words(Array("hello".utf8)) == "thing is no root file system")
    }
}

/// A root file system in memory: files, folders and links by path.
private struct FakeRoot: RootReading {
    var files: [String: String] = [:]
    var links: [String: String] = [:]

    func entries(of path: String) async throws -> [String: RootEntry] {
        var found: [String: RootEntry] = [:]
        let prefix = path == "/" ? "/" : "\(path)/"
        for (name, text) in files where name.hasPrefix(prefix) {
            let rest = name.dropFirst(prefix.count).split(separator: "/")
            guard let first = rest.first else { continue }
            found[String(first)] =
                rest.count > 1
                ? RootEntry(kind: .folder, mode: 0o755, size: 0)
                : RootEntry(kind: .file, mode: 0o755, size: Int64(text.utf8.count))
        }
        for (name, target) in links where name.hasPrefix(prefix) {
            let rest = name.dropFirst(prefix.count).split(separator: "/")
            guard let first = rest.first else { continue }
            found[String(first)] =
                rest.count > 1
                ? RootEntry(kind: .folder, mode: 0o755, size: 0)
                : RootEntry(kind: .link, mode: 0o777, size: Int64(target.utf8.count))
        }
        return found
    }

    func target(of link: String) async throws -> String? { links[link] }
    func text(of path: String) async throws -> String { files[path] ?? "" }
}

@Suite struct InitFinderTests {
    private func found(_ root: FakeRoot) async throws -> [String] {
        let (path, system) = try await InitFinder(root: root).find()
        return [path ?? "-", system.rawValue]
    }

    @Test("systemd is found behind a merged /usr")
    func systemd() async throws {
        let root = FakeRoot(
            files: ["/usr/lib/systemd/systemd": "x"],
            links: ["/sbin": "usr/sbin", "/lib": "usr/lib", "/usr/sbin/init": "/lib/systemd/systemd"])
        #expect(try await found(root) == ["/sbin/init", "systemd"])
    }

    @Test("busybox counts as an init only with a table, and as OpenRC's where that says so and OpenRC is there")
    func busybox() async throws {
        var root = FakeRoot(files: ["/bin/busybox": "x"], links: ["/sbin/init": "../bin/busybox"])
        #expect(try await found(root) == ["-", "none"])
        root.files["/etc/inittab"] = "::sysinit:/etc/rc\n# openrc\n"
        #expect(try await found(root) == ["/sbin/init", "busybox"])
        // A minimal Alpine.
        root.files["/etc/inittab"] = "::sysinit:/sbin/openrc sysinit\n"
        #expect(try await found(root) == ["-", "none"])
        root.files["/sbin/openrc"] = "x"
        #expect(try await found(root) == ["/sbin/init", "openrc"])
    }

    @Test("links that turn in circles, leave the root or lead nowhere are no init")
    func badLinks() async throws {
        #expect(try await found(FakeRoot(links: ["/sbin/init": "init"])) == ["-", "none"])
        #expect(try await found(FakeRoot(links: ["/sbin/init": "../../../../nowhere"])) == ["-", "none"])
        let circle = FakeRoot(links: ["/sbin/init": "/a", "/a": "/b", "/b": "/a"])
        #expect(try await found(circle) == ["-", "none"])
    }

    @Test("what a user says of the programs wins, and has to be there")
    func choices() async throws {
        let root = FakeRoot(files: ["/sbin/init": "x", "/bin/sh": "x", "/app": "x"])
        let plain = try await RootConfiguration.find(in: root, ImageChoices(), subject: "tree")
        #expect(plain.initPath == "/sbin/init" && plain.initSystem == .other && plain.command == ["/bin/sh"])
        let chosen = ImageChoices(entrypoint: ["/app", "-v"], environment: ["A": "b"], user: "web", initPath: "none")
        let own = try await RootConfiguration.find(in: root, chosen, subject: "tree")
        #expect(own.entrypoint == ["/app", "-v"] && own.command == [] && own.initPath == nil && own.user == "web")
        #expect(own.environment["A"] == "b" && own.environment["PATH"] != nil && own.initSystem == InitSystem.none)
        for bad in [ImageChoices(command: ["/none"]), ImageChoices(initPath: "/none")] {
            let error = await failure { _ = try await RootConfiguration.find(in: root, bad, subject: "tree") }
            #expect(error?.code == .invalid)
        }
        let empty = await failure {
            _ = try await RootConfiguration.find(in: FakeRoot(), ImageChoices(), subject: "tree")
        }
        #expect(empty?.message == "tree holds nothing to run: neither /sbin/init nor /bin/sh")
    }
}

@Suite struct AptComplaintTests {
    @Test("of a log only apt's complaints are kept, each once")
    func complaints() {
        var complaints = AptComplaints()
        for line in [
            "I: automatically chosen mode: root", "E: Unable to locate package nonsense",
            "E: Unable to locate package nonsense", "apt-get update failed", "E: apt-get --yes install failed",
        ] { complaints.hear(line) }
        #expect(complaints.shortened(["long log"]) == "Unable to locate package nonsense")
        #expect(AptComplaints().shortened(["last words"]) == "last words")
    }

    @Test("options that could not stand in an argument are refused")
    func options() {
        let bad = [
            DebianOptions(packages: ["a b"]), DebianOptions(packages: ["-x"]), DebianOptions(packages: ["curl,wget"]),
            DebianOptions(mirror: "file:///x"), DebianOptions(mirror: "http://x y"),
            DebianOptions(sshKeys: ["command=\"x\""]), DebianOptions(sshKeys: ["ssh-ed25519 AAAA\nroot"]),
        ]
        for options in bad {
            #expect(#expect(throws: CoveyError.self) { try options.check() }?.code == .invalid)
        }
        #expect(throws: Never.self) {
            try DebianOptions(
                packages: ["openssh-server", "g++"], mirror: "https://deb.debian.org/debian",
                sshKeys: ["ssh-ed25519 AAAAC3Nz me@here"]
            ).check()
        }
    }
}
