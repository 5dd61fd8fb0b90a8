import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyDisks
@testable import CoveyRootDisks

/// Images of files that somebody sent, with the host's own tools.
@Suite struct UploadedImageTests {
    private let pool = BlockingPool("test")

    /// A root file system with a shell and an init, as an ext4 file.
    private func makeRoot(_ path: String, size: String = "24M", options: [String] = []) async throws {
        let tree = "\(path).tree"
        for folder in ["bin", "sbin", "etc"] { try makeFolder("\(tree)/\(folder)", mode: 0o755) }
        for program in ["bin/sh", "sbin/myinit"] {
            try writeFileAtomically("\(tree)/\(program)", Array("#!\n".utf8), mode: 0o755)
        }
        try check("symlink", path) { symlink("myinit", "\(tree)/sbin/init") }
        try await Tool.mke2fs.run(["-q", "-t", "ext4", "-d", tree] + options + [path, size], limit: .seconds(60))
        try removeTree(tree)
    }

    private func make(
        _ store: ImageStore, _ path: String, _ choices: ImageChoices = ImageChoices()
    ) async throws -> StoredImage {
        try await store.make(newID(), from: .file(path: path, name: "disk", choices: choices)) { _, _, _, _ in }
    }

    private func expectSame(_ image: StoredImage, _ path: String) throws {
        #expect(try Digest.file(image.path, Cancellation()) == Digest.file(path, Cancellation()))
    }

    @Test("an ext4 file becomes an image as it is, and its init is found")
    func fileSystem() async throws {
        try await withScratch { folder in
            let path = "\(folder)/root.ext4"
            try await makeRoot(path)
            let image = try await make(ImageStore(root: "\(folder)/images"), path)
            try expectSame(image, path)
            #expect(image.configuration.initPath == "/sbin/init" && image.configuration.initSystem == .other)
            #expect(image.configuration.command == ["/bin/sh"])
            #expect(try listFolder("\(folder)/images").count == 1)
        }
    }

    @Test("a qcow2 disk is flattened, a compressed file unpacked, a partition cut out: the same file system")
    func wrapped() async throws {
        try await withScratch { folder in
            let path = "\(folder)/root.ext4"
            try await makeRoot(path)
            let store = ImageStore(root: "\(folder)/images")
            try await Tool.qemuImage.run(
                ["convert", "-c", "-O", "qcow2", path, "\(folder)/root.qcow2"], limit: .seconds(60))
            let flat = try await make(store, "\(folder)/root.qcow2")
            try expectSame(flat, path)
            #expect(flat.allocated.bytes < flat.size.bytes / 2)
            try await Tool(name: "gzip", package: "gzip").run(["-k", path], limit: .seconds(60))
            try expectSame(try await make(store, "\(path).gz"), path)
            // A disk with an MBR whose second partition is the root.
            let disk = "\(folder)/disk.raw"
            var sector = [UInt8](repeating: 0, count: 512)
            for (index, (first, count)) in [(UInt32(2048), UInt32(2048)), (4096, 24 << 11)].enumerated() {
                let at = 446 + index * 16
                sector[at + 4] = 0x83
                withUnsafeBytes(of: first.littleEndian) { sector.replaceSubrange((at + 8)..<(at + 12), with: $0) }
                withUnsafeBytes(of: count.littleEndian) { sector.replaceSubrange((at + 12)..<(at + 16), with: $0) }
            }
            sector.replaceSubrange(510..<512, with: [0x55, 0xAA])
            let before = sector + [UInt8](repeating: 0, count: 4095 * 512)
            try writeFileAtomically(disk, before + (try readFile(path)))
            let cut = try await make(store, disk)
            #expect(cut.size == .mebibytes(24))
            try expectSame(cut, path)
        }
    }

    @Test("a qcow2 file over a file of this host is refused, and nothing of that is read")
    func backing() async throws {
        try await withScratch { folder in
            try writeFileAtomically("\(folder)/secret", [UInt8](repeating: 65, count: 1 << 20))
            try await Tool.qemuImage.run(
                ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "\(folder)/secret", "\(folder)/evil.qcow2"],
                limit: .seconds(30))
            let error = await failure {
                _ = try await make(ImageStore(root: "\(folder)/images"), "\(folder)/evil.qcow2")
            }
            #expect(error?.code == .invalid)
            #expect(error?.message.contains("backing file") == true)
            try expectEmpty("\(folder)/images")
        }
    }

    @Test("a file system that is cut off, damaged or holds no root is refused, and nothing is left")
    func bad() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let path = "\(folder)/root.ext4"
            try await makeRoot(path)
            let whole = try readFile(path)
            try writeFileAtomically("\(folder)/cut", Array(whole.prefix(8 << 20)))
            let cut = await failure { _ = try await make(store, "\(folder)/cut") }
            #expect(cut?.code == .corrupt && cut?.message.contains("cut off") == true)
            var broken = whole
            // The inode table and what is behind it.
            for index in 40_000..<300_000 { broken[index] = 0xA5 }
            try writeFileAtomically("\(folder)/broken", broken)
            #expect((await failure { _ = try await make(store, "\(folder)/broken") })?.code == .corrupt)
            try await Tool.mke2fs.run(["-q", "-t", "ext4", "\(folder)/empty", "8M"], limit: .seconds(60))
            let empty = await failure { _ = try await make(store, "\(folder)/empty") }
            #expect(empty?.message == "disk holds nothing to run: neither /sbin/init nor /bin/sh")
            try writeFileAtomically("\(folder)/text", Array("hello".utf8))
            #expect((await failure { _ = try await make(store, "\(folder)/text") })?.code == .invalid)
            try expectEmpty("\(folder)/images")
        }
    }

    @Test("one that is taken back in the middle leaves nothing", arguments: ["convert", "check", "digest"])
    func cancelled(_ stage: String) async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let path = "\(folder)/root.ext4"
            try await makeRoot(path)
            try await Tool.qemuImage.run(
                ["convert", "-O", "qcow2", path, "\(folder)/root.qcow2"], limit: .seconds(60))
            let (begun, bell) = AsyncStream<Void>.makeStream()
            let task = Task {
                let material = ImageMaterial.file(path: "\(folder)/root.qcow2", name: "disk", choices: ImageChoices())
                _ = try await store.make(newID(), from: material) { name, _, _, _ in
                    guard name == stage else { return }
                    bell.yield()
                    withUnsafeCurrentTask { $0?.cancel() }
                }
            }
            for await _ in begun { break }
            #expect((await failure { try await task.value })?.code == .cancelled)
            try expectEmpty("\(folder)/images")
        }
    }

    @Test("a machine's disk over its image becomes an image of its own; one over another file is refused")
    func promoted() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            try await makeRoot("\(folder)/root.ext4")
            let base = try await make(store, "\(folder)/root.ext4", ImageChoices(user: "web"))
            let disk = try await RootDisks(.qcow2, instance: testInstance).create(
                at: "\(folder)/root", over: base, size: .mebibytes(40))
            // What a machine would write: another file system of the same size, at the same place.
            let other = "\(folder)/other.ext4"
            try await makeRoot(other, options: ["-L", "changed"])
            try await Tool.qemuImage.run(
                ["convert", "-n", "-f", "raw", "-O", "qcow2", other, disk.path], limit: .seconds(60))
            let image = try await store.make(
                newID(), from: .disk(disk, vm: "web", image: base)
            ) { _, _, _, _ in }
            #expect(image.size == .mebibytes(40))
            #expect(image.configuration == base.configuration)
            #expect(image.digest != base.digest)
            let label = try await Tool.debugfs.run(["-R", "show_super_stats -h", image.path], limit: .seconds(30)).text
            #expect(label.contains("changed"))
            // A disk whose header was changed to name a file of the host.
            try await Tool.qemuImage.run(
                ["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", disk.path], limit: .seconds(30))
            let error = await failure {
                _ = try await store.make(newID(), from: .disk(disk, vm: "web", image: base)) { _, _, _, _ in
                }
            }
            #expect(error?.code == .corrupt)
            // A raw disk is raw, whatever the guest has written into it.
            var raw = disk
            raw.format = .raw
            let asRaw = await failure {
                _ = try await store.make(newID(), from: .disk(raw, vm: "web", image: base)) { _, _, _, _ in }
            }
            #expect(
                asRaw?.code == .corrupt && asRaw?.description.contains("superblock") == true,
                "\(String(describing: asRaw))")
        }
    }

    @Test("a bundle gives an image and the file that its kernel is imported from; half a bundle is refused")
    func bundle() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            try await makeRoot("\(folder)/image.ext4")
            let elf = FakeKernel().elf()
            try writeFileAtomically("\(folder)/kernel.elf", elf)
            let tar = Tool(name: "tar", package: "tar")
            try await tar.run(
                ["-C", folder, "-czf", "\(folder)/bundle.tar.gz", "image.ext4", "kernel.elf"], limit: .seconds(60))
            let image = try await store.make(
                newID(), from: .bundle(path: "\(folder)/bundle.tar.gz", name: "acme/web")
            ) { _, _, _, _ in }
            try expectSame(image, "\(folder)/image.ext4")
            #expect(try readFile(try #require(image.kernel)) == elf)
            try await tar.run(["-C", folder, "-cf", "\(folder)/half.tar", "image.ext4"], limit: .seconds(60))
            let error = await failure {
                _ = try await store.make(newID(), from: .bundle(path: "\(folder)/half.tar", name: "acme/half")) {
                    _, _, _, _ in
                }
            }
            #expect(error?.message == "acme/half is no bundle: it lacks a kernel")
        }
    }
}
