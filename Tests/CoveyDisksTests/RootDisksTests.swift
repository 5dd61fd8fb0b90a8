import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyDisks

@Suite("Root disks")
struct RootDisksTests {
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
            let disk = try await RootDisks().create(at: path, over: image, size: size)
            #expect(disk == RootDisk(path: path, format: .qcow2, backing: image.path))
            try await qemuImage.run(["check", path], limit: .seconds(60))
            let info = try await qemuImage.run(["info", "--output=json", path], limit: .seconds(60)).text
            #expect(info.contains("\"virtual-size\": \((size ?? image.size).bytes)"))
            #expect(info.contains("\"backing-filename-format\": \"raw\""))
            #expect(info.contains("\"full-backing-filename\": \"\(image.path)\""))
            #expect(try FileFacts(path).allocated <= 16384)
        }
    }

    @Test("what the image holds shows through, and what is written stays in the disk")
    func copyOnWrite() async throws {
        try await withScratch { folder in
            let image = try image(in: folder, size: .mebibytes(4))
            let path = "\(folder)/disk.qcow2"
            _ = try await RootDisks().create(at: path, over: image, size: .mebibytes(8))
            let before = try readFile(image.path)
            let tool = Tool(name: "qemu-io", package: "qemu-utils")
            try await tool.run(["-f", "qcow2", "-c", "write -P 7 1M 1M", path], limit: .seconds(60))
            try await tool.run(["-f", "qcow2", "-c", "write -P 9 7M 1M", path], limit: .seconds(60))
            try await qemuImage.run(["check", path], limit: .seconds(60))
            try await qemuImage.run(
                ["convert", "-f", "qcow2", "-O", "raw", path, "\(folder)/flat"], limit: .seconds(60))
            let flat = try readFile("\(folder)/flat")
            #expect(flat.count == 8 << 20)
            #expect(flat.prefix(7) == before.prefix(7))
            #expect(flat[1 << 20] == 7 && flat[(8 << 20) - 1] == 9)
            #expect(try readFile(image.path) == before)
        }
    }

    @Test("a disk that is there is returned; another one at the path is a conflict; an empty file is replaced")
    func idempotent() async throws {
        try await withScratch { folder in
            let image = try image(in: folder, size: .mebibytes(4))
            let path = "\(folder)/disk.qcow2"
            let first = try await RootDisks().create(at: path, over: image, size: nil)
            let facts = try FileFacts(path)
            #expect(try await RootDisks().create(at: path, over: image, size: nil) == first)
            #expect(try FileFacts(path) == facts)
            let error = await failure { _ = try await RootDisks().create(at: path, over: image, size: .mebibytes(5)) }
            #expect(error?.code == .conflict)
            #expect(truncate(path, 0) == 0)
            _ = try await RootDisks().create(at: path, over: image, size: nil)
            try await qemuImage.run(["check", path], limit: .seconds(60))
            try await RootDisks().remove(at: path)
            try await RootDisks().remove(at: path)
            #expect(try listFolder(folder) == ["root.ext4"])
        }
    }

    @Test("a disk smaller than its image or absurdly large is invalid, with the size that would do")
    func badSizes() async throws {
        try await withScratch { folder in
            let image = try image(in: folder, size: .mebibytes(32))
            for size: ByteCount in [.mebibytes(31), ByteCount(0), ByteCount(-1), ByteCount(.max)] {
                let error = await failure {
                    _ = try await RootDisks().create(at: "\(folder)/disk", over: image, size: size)
                }
                #expect(error?.code == .invalid)
                #expect(error?.remedy != nil)
            }
            #expect(try listFolder(folder) == ["root.ext4"])
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
                    _ = try await RootDisks().create(at: "\(small)/disk", over: image, size: nil)
                }
                #expect(error?.code == .exhausted)
                #expect(error?.remedy?.contains("free space") == true)
                let left = try listFolder(small)
                #expect(left == ["filler"])
            }
        }
    }
}

/// Gives `body` a small tmpfs and unmounts it afterwards.
func withSmallDisk(at path: String, size: String, _ body: (String) async throws -> Void) async throws {
    try makeFolder(path)
    try #require(mount("covey-test", path, "tmpfs", 0, "size=\(size)") == 0, "mounting a tmpfs needs root")
    defer { #expect(umount2(path, 2) == 0) }
    try await body(path)
}
