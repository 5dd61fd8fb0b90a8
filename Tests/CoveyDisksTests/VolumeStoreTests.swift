import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyDisks

@Suite("Volumes on the node's disk")
struct VolumeStoreTests {
    private let check = Tool(name: "e2fsck", package: "e2fsprogs")
    private let dump = Tool(name: "dumpe2fs", package: "e2fsprogs")
    private let quiet: ProgressHandler = { _, _, _, _ in }

    @Test("a new volume holds an ext4 without fault that takes little space, named as the volume is")
    func ext4() async throws {
        try await withScratch { folder in
            let store = VolumeStore(root: "\(folder)/volumes")
            let id: VolumeID = newID()
            let made = try await store.create(id, size: .gibibytes(20), format: .ext4, label: "a-name-of-some-length")
            #expect(made.size == .gibibytes(20) && made.allocated < .mebibytes(400) && !made.needsRecovery)
            try await check.run(["-f", "-n", made.path], limit: .seconds(60))
            let head = try await dump.run(["-h", made.path], limit: .seconds(60)).text
            #expect(head.contains("a-name-of-some-l") && head.contains("resize_inode") && head.contains("has_journal"))
            #expect(try await store.create(id, size: .gibibytes(20), format: .ext4, label: "x") == made)
            #expect(try FileFacts(made.path).kind == .file)
        }
    }

    @Test("a raw volume is empty; it grows, is copied with its holes, and is gone when it is removed")
    func raw() async throws {
        try await withScratch { folder in
            let store = VolumeStore(root: "\(folder)/volumes")
            let (id, copy): (VolumeID, VolumeID) = (newID(), newID())
            let made = try await store.create(id, size: .mebibytes(16), format: .raw, label: "raw")
            #expect(made.allocated == ByteCount(0))
            let file = try openFile(made.path, .readWrite)
            try #require(pwrite(file.raw, "content", 7, 5 << 20) == 7)
            #expect(try await store.grow(id, to: .mebibytes(32)).size == .mebibytes(32))
            #expect(try await store.grow(id, to: .mebibytes(8)).size == .mebibytes(32))
            let copied = try await store.copy(id, to: copy, progress: quiet)
            #expect(copied.size == .mebibytes(32) && copied.allocated < .mebibytes(1))
            #expect(try readFile(copied.path) == (try readFile(made.path)))
            #expect(Set(try await store.list()) == [id, copy])
            for _ in 0..<2 { try await store.remove(id) }
            #expect((await failure { _ = try await store.volume(id) })?.code == .notFound)
            #expect(try await store.list() == [copy])
        }
    }

    @Test("what is half-made or on its way out is swept, and what is whole never")
    func sweep() async throws {
        try await withScratch { folder in
            let root = "\(folder)/volumes"
            let store = VolumeStore(root: root)
            let id: VolumeID = newID()
            _ = try await store.create(id, size: .mebibytes(16), format: .raw, label: "x")
            let other: VolumeID = newID()
            for name in [".new-\(other)", ".gone-\(other)"] {
                try makeFolder("\(root)/\(name)")
                try writeFileAtomically("\(root)/\(name)/volume.img", [1])
            }
            #expect(Set(try await store.sweep()) == [".new-\(other)", ".gone-\(other)"])
            #expect(try listFolder(root) == ["\(id)"])
            #expect(try await store.sweep().isEmpty)
        }
    }

    @Test("on a full file system a volume is refused with a remedy and nothing is left; an absurd size is invalid")
    func fullDisk() async throws {
        try await withScratch { folder in
            try await withSmallDisk(at: "\(folder)/small", size: "64k") { small in
                let store = VolumeStore(root: "\(small)/volumes")
                let id: VolumeID = newID()
                let error = await failure {
                    _ = try await store.create(id, size: .gibibytes(1), format: .ext4, label: "x")
                }
                #expect(error?.code == .exhausted && error?.remedy?.contains("free space") == true)
                try expectEmpty("\(small)/volumes")
                let scratch = await failure { try await store.makeScratch(at: "\(small)/scratch", size: .gibibytes(1)) }
                #expect(scratch?.code == .exhausted)
                #expect(try listFolder(small) == ["volumes"])
            }
            let store = VolumeStore(root: "\(folder)/volumes")
            let error = await failure {
                _ = try await store.create(newID(), size: ByteCount(.max), format: .raw, label: "x")
            }
            #expect(error?.code == .invalid)
            try expectEmpty("\(folder)/volumes")
        }
    }

    @Test("a scratch disk is made once, grows, and is an ext4 without fault")
    func scratch() async throws {
        try await withScratch { folder in
            let store = VolumeStore(root: "\(folder)/volumes")
            let path = "\(folder)/scratch.img"
            try await store.makeScratch(at: path, size: .mebibytes(64))
            try await check.run(["-f", "-n", path], limit: .seconds(60))
            let before = try FileFacts(path)
            try await store.makeScratch(at: path, size: .mebibytes(64))
            #expect(try FileFacts(path) == before)
            try await store.makeScratch(at: path, size: .mebibytes(128))
            #expect(try FileFacts(path).size == 128 << 20)
            #expect(try listFolder(folder) == ["scratch.img"])
        }
    }

    @Test("a file system whose journal holds something is told from one that was unmounted")
    func recovery() async throws {
        try await withScratch { folder in
            let store = VolumeStore(root: "\(folder)/volumes")
            let id: VolumeID = newID()
            let made = try await store.create(id, size: .mebibytes(16), format: .ext4, label: "x")
            try await Tool.debugfs.run(["-w", "-R", "feature needs_recovery", made.path], limit: .seconds(60))
            #expect(try await store.volume(id).needsRecovery)
        }
    }
}
