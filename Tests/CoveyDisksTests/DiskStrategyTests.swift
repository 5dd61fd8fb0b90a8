import CoveyDiskConformance
import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyDisks
@testable import CoveyRootDisks

@Suite("Strategies of root disks")
struct DiskStrategyTests {
    private let shell = Tool(name: "unshare", package: "util-linux")

    @Test("copies keep the claims of all root disks", arguments: RootDiskConformance.checks)
    func copies(_ check: RootDiskConformance.Check) async throws {
        try await withScratch { folder in
            try await check.run(FileDisks(.sparse), RawDiskAccess(), in: folder)
        }
    }

    @Test("copies keep them on an ext4 of their own, also when it is full")
    func copiesOnExt4() async throws {
        try await conform(.copy, size: "128M", make: "mke2fs -q -F -t ext4 -m 0")
    }

    @Test("shared blocks keep them on an XFS of their own, also when it is full")
    func sharedOnXFS() async throws {
        try await conform(.reflink, size: "320M", make: "mkfs.xfs -q -f -m reflink=1")
    }

    /// Runs the suite's program on a new file system, mounted in a namespace that goes away with it.
    private func conform(_ strategy: DiskStrategy, size: String, make: String) async throws {
        let program = "\(parentFolder(try programPath()))/covey-disk-check"
        try await withScratch { folder in
            let script = """
                set -e
                truncate -s \(size) \(folder)/disk
                \(make) \(folder)/disk >&2
                mkdir \(folder)/mounted
                mount -o loop \(folder)/disk \(folder)/mounted
                \(program) \(strategy.rawValue) \(folder)/mounted
                """
            let text = try await shell.run(
                ["--mount", "--propagation", "private", "sh", "-c", script], limit: .seconds(120)
            ).text
            let lines = text.split(separator: "\n")
            #expect(lines.filter { $0.hasPrefix("ok ") }.count == RootDiskConformance.checks.count + 1, "\(text)")
            #expect(!lines.contains { $0.hasPrefix("not ok") }, "\(text)")
        }
    }

    private func programPath() throws -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = try check("readlink") { readlink("/proc/self/exe", &buffer, buffer.count - 1) }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test("what is tried is what is said: on a file system without shared blocks qcow2 is chosen, and why is told")
    func probe() async throws {
        try await withScratch { folder in
            try await withSmallDisk(at: "\(folder)/root", size: "32M") { root in
                try makeFolder("\(root)/vms/.probe-1")
                let probe = DiskProbe(images: "\(root)/images", machines: "\(root)/vms", instance: testInstance)
                let facts = try await probe.run(.auto)
                #expect(facts.map(\.strategy) == DiskStrategy.allCases)
                #expect(facts.filter(\.chosen).map(\.strategy) == [.qcow2])
                #expect(facts[0].available == false)
                #expect(facts[0].reason == "the file system cannot share blocks between files")
                #expect(facts.filter { !$0.available }.allSatisfy { $0.reason?.isEmpty == false })
                let copy = try await probe.run(.only(.copy))
                #expect(copy.filter(\.chosen).map(\.strategy) == [.copy])
                let error = await failure { _ = try await probe.run(.only(.reflink)) }
                #expect(error?.code == .unsupported)
                #expect(error?.remedy == "use disk.strategy: auto")
                #expect(try listFolder("\(root)/vms") == [] && listFolder("\(root)/images") == [])
            }
        }
    }

    @Test("images and disks on two file systems share nothing, which is said")
    func twoFileSystems() async throws {
        try await withScratch { folder in
            try await withSmallDisk(at: "\(folder)/a", size: "16M") { images in
                let probe = DiskProbe(images: images, machines: "\(folder)/vms", instance: testInstance)
                let facts = try await probe.run(.auto)
                #expect(facts[0].available == false)
                #expect(facts.first { $0.strategy == .copy }?.available == true)
            }
        }
    }

    @Test("a disk stays what it is when the strategy changes, and is removed whatever it is")
    func changed() async throws {
        try await withScratch { folder in
            let image = StoredImage(
                digest: "sha256:0", path: "\(folder)/image", size: .mebibytes(1), allocated: .mebibytes(1),
                configuration: ImageConfiguration())
            try writeFileAtomically(image.path, [UInt8](repeating: 1, count: 1 << 20))
            try makeFolder("\(folder)/m")
            let path = "\(folder)/m/root"
            for (first, then) in [(DiskStrategy.copy, DiskStrategy.qcow2), (.qcow2, .copy)] {
                let disk = try await RootDisks(first, instance: testInstance).create(at: path, over: image, size: nil)
                #expect(disk.strategy == first)
                let other = RootDisks(then, instance: testInstance)
                #expect(try await other.create(at: path, over: image, size: nil) == disk)
                try await other.release(at: path)
                try await other.remove(at: path)
                try expectEmpty("\(folder)/m")
            }
        }
    }
}
