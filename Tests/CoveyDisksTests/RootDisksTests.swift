import CoveyDiskConformance
import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyDisks
@testable import CoveyRootDisks

@Suite("Root disks as qcow2 overlays")
struct OverlayDisksTests {
    private let qemuImage = Tool(name: "qemu-img", package: "qemu-utils")

    private func image(in folder: String, size: ByteCount) throws -> StoredImage {
        let path = "\(folder)/root.ext4"
        try writeFileAtomically(path, Array("content".utf8))
        #expect(truncate(path, off_t(size.bytes)) == 0)
        return StoredImage(
            digest: "sha256:0", path: path, size: size, allocated: ByteCount(4096), configuration: ImageConfiguration())
    }

    @Test(
        "qemu-img finds nothing wrong with a disk, and the size and backing file that were asked for",
        arguments: [nil, .mebibytes(33), .gibibytes(20), .gibibytes(8192), .gibibytes(64 << 10)] as [ByteCount?])
    func wellFormed(size: ByteCount?) async throws {
        try await withScratch { folder in
            let image = try image(in: folder, size: .mebibytes(32))
            let path = "\(folder)/disk.qcow2"
            let disk = try await OverlayDisks().create(at: "\(folder)/disk", over: image, size: size)
            #expect(disk == RootDisk(strategy: .qcow2, path: path, format: .qcow2, backing: image.path))
            try await qemuImage.run(["check", path], limit: .seconds(60))
            let info = try await qemuImage.run(["info", "--output=json", path], limit: .seconds(60)).text
            #expect(info.contains("\"virtual-size\": \((size ?? image.size).bytes)"))
            #expect(info.contains("\"backing-filename-format\": \"raw\""))
            #expect(info.contains("\"full-backing-filename\": \"\(image.path)\""))
            #expect(try FileFacts(path).allocated <= 16384)
        }
    }

    @Test("it keeps the claims of all root disks", arguments: RootDiskConformance.checks)
    func conformance(_ check: RootDiskConformance.Check) async throws {
        try await withScratch { folder in
            try await check.run(OverlayDisks(), OverlayAccess(), in: folder)
        }
    }

    @Test("a disk that has grown is whole to qemu-img, also when QEMU has written to it; past its table it is refused")
    func grown() async throws {
        try await withScratch { folder in
            let image = try image(in: folder, size: .mebibytes(32))
            let disk = try await OverlayDisks().create(at: "\(folder)/disk", over: image, size: nil)
            try await OverlayAccess().write(disk, 7, at: 1 << 20, count: 1 << 20)
            for size in [ByteCount.gibibytes(1), .gibibytes(4096)] {
                _ = try await OverlayDisks().create(at: "\(folder)/disk", over: image, size: size)
                try await qemuImage.run(["check", disk.path], limit: .seconds(60))
                try await OverlayAccess().write(disk, 8, at: Int(size.bytes) - 65536, count: 65536)
                try await qemuImage.run(["check", disk.path], limit: .seconds(60))
            }
            #expect(try await OverlayAccess().read(disk, at: 1 << 20, count: 4096).allSatisfy { $0 == 7 })
            let error = await failure {
                _ = try await OverlayDisks().create(at: "\(folder)/disk", over: image, size: .gibibytes(4097))
            }
            #expect(error?.code == .unsupported && error?.remedy != nil)
        }
    }

    @Test("a full file system is said so with a remedy, and leaves nothing behind")
    func fullDisk() async throws {
        try await withScratch { folder in
            let image = try image(in: folder, size: .mebibytes(32))
            try await withSmallDisk(at: "\(folder)/small", size: "64k") { small in
                let filler = try openFile("\(small)/filler", [.writeOnly, .create])
                #expect(throws: SystemError.self) {
                    while true { try writeAll(filler.raw, [UInt8](repeating: 1, count: 4096)) }
                }
                let error = await failure {
                    _ = try await RootDisks(.qcow2, instance: testInstance).create(
                        at: "\(small)/disk", over: image, size: nil)
                }
                #expect(error?.code == .exhausted)
                #expect(error?.remedy?.contains("free space") == true)
                let left = try listFolder(small)
                #expect(left == ["filler"])
            }
        }
    }
}

let testInstance = InstanceID(random: 0x0bad_cafe)

/// Reads and writes qcow2 files with QEMU's tools.
struct OverlayAccess: DiskAccess {
    private let io = Tool(name: "qemu-io", package: "qemu-utils")
    private let image = Tool(name: "qemu-img", package: "qemu-utils")

    func read(_ disk: RootDisk, at offset: Int, count: Int) async throws -> [UInt8] {
        let part = "\(disk.path).part"
        try await image.run(
            [
                "dd", "-f", "qcow2", "-O", "raw", "bs=4096", "skip=\(offset / 4096)",
                "count=\((offset + count) / 4096)",
                "if=\(disk.path)", "of=\(part)",
            ], limit: .seconds(60))
        let bytes = try readFile(part)
        try removeFile(part)
        return bytes
    }

    func write(_ disk: RootDisk, _ value: UInt8, at offset: Int, count: Int) async throws {
        try await io.run(
            ["-f", "qcow2", "-c", "write -P \(value) \(offset) \(count)", disk.path], limit: .seconds(60))
    }

    func size(_ disk: RootDisk) async throws -> Int {
        let text = try await image.run(["info", "--output=json", disk.path], limit: .seconds(60)).text
        let digits = text.split(separator: "\"virtual-size\": ").dropFirst().first?.prefix { $0.isNumber } ?? ""
        return try #require(Int(digits))
    }
}

/// Gives `body` a small tmpfs and unmounts it afterwards.
func withSmallDisk(at path: String, size: String, _ body: (String) async throws -> Void) async throws {
    try makeFolder(path)
    try #require(mount("covey-test", path, "tmpfs", 0, "size=\(size)") == 0, "mounting a tmpfs needs root")
    defer { #expect(umount2(path, 2) == 0) }
    try await body(path)
}
