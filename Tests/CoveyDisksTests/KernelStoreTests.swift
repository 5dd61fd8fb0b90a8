import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyDisks

@Suite("Kernel store")
struct KernelStoreTests {
    // Any static program stands for the guest agent here.
    private let agent = "/bin/busybox"

    @Test("Debian's kernel becomes an ELF file, an initramfs in load order and a clean tools disk")
    func debian() async throws {
        try await withScratch { folder in
            let store = KernelStore(root: "\(folder)/kernels", agent: agent)
            let id: KernelID = newID()
            let kernel = try await store.importKernel(id, from: .debian) { _, _, _, _ in }
            #expect(kernel.release.hasSuffix("-cloud-amd64"))
            #expect(kernel.payload == "lz4")
            #expect(kernel.modules > 500)
            #expect(kernel.digest == (try Digest.file(kernel.elf, Cancellation())))
            try ELFFile.open(kernel.elf, subject: "kernel").requirePVH()
            for file in [kernel.elf, kernel.initramfs] {
                #expect(try FileFacts(file).mode == 0o644, "a VMM opens it as its own user")
            }
            try checkInitramfs(kernel)
            try await checkTools(kernel)
            #expect(try await store.kernel(id) == kernel)
            #expect(try await store.importKernel(id, from: .debian) { _, _, _, _ in } == kernel)
            #expect(try listFolder("\(folder)/kernels") == [id.description])
        }
    }

    private func checkInitramfs(_ kernel: StoredKernel) throws {
        let file = try openFile(kernel.initramfs, .readOnly)
        let archive = try Archive(descriptor: file.raw, .cpio, subject: "initramfs")
        var found: [String: [UInt8]] = [:]
        var modes: [String: UInt32] = [:]
        while let entry = try archive.next() {
            var content: [UInt8] = []
            try archive.content(limit: 64 << 20) { content += $0 }
            found[entry.path] = content
            modes[entry.path] = entry.mode
        }
        #expect(found["init"] == (try readFile(agent)))
        #expect(modes["init"] == 0o755)
        for name in ["dev", "proc", "sys", "newroot", "covey", "dev/console"] { #expect(found[name] != nil) }
        let list = String(decoding: found["covey/modules"] ?? [], as: UTF8.self).split(separator: "\n").map(String.init)
        let names = list.map(ModuleTree.name(of:))
        func position(_ name: String) throws -> Int { try #require(names.firstIndex(of: name), "\(name) is missing") }
        for (earlier, later) in [
            ("virtio_ring", "virtio"), ("virtio", "virtio_mmio"), ("virtio", "virtio_blk"),
            ("virtio", "virtio_console"),
        ] { #expect(try position(earlier) < position(later), "\(earlier) before \(later)") }
        #expect(!names.contains("ext4"), "ext4 is built in")
        #expect(!names.contains("virtio_net"), "the boot does not wait for what it does not need")
        let network = String(decoding: found["covey/network"] ?? [], as: UTF8.self).split(separator: "\n")
            .map(String.init)
        let networkNames = network.map(ModuleTree.name(of:))
        #expect(networkNames.last == "virtio_net" && networkNames.contains("net_failover"))
        #expect(Set(names + networkNames).count == names.count + networkNames.count)
        for path in list + network {
            #expect(found[String(path.dropFirst())]?.starts(with: [0x7F, 0x45, 0x4C, 0x46]) == true)
        }
        #expect(found.count == 8 + list.count + network.count + 2)
    }

    private func checkTools(_ kernel: StoredKernel) async throws {
        try await Tool(name: "e2fsck", package: "e2fsprogs").run(["-fn", kernel.tools], limit: .seconds(60))
        let head = try await Tool.debugfs.run(["-R", "ls -p /", kernel.tools], limit: .seconds(60)).text
        #expect(head.contains("/modules/") && head.contains("/tools/"))
        let tree = try await Tool.debugfs.run(
            ["-R", "ls -p /modules/\(kernel.release)", kernel.tools], limit: .seconds(60)
        ).text
        for name in ["modules.dep.bin", "modules.alias.bin", "modules.builtin", "kernel"] {
            #expect(tree.contains("/\(name)/"), "\(name) is on the tools disk")
        }
        let label = try await Tool(name: "dumpe2fs", package: "e2fsprogs").run(
            ["-h", kernel.tools], limit: .seconds(60))
        #expect(label.text.contains("covey-tools"))
        #expect(!label.text.contains("has_journal"))
    }

    @Test("another guest agent makes initramfs and tools disk anew; the former files go with the sweep")
    func newAgent() async throws {
        try await withScratch { folder in
            let program = "\(folder)/agent"
            let busybox = try readFile(agent)
            try writeFileAtomically(program, busybox, mode: 0o755)
            let store = KernelStore(root: "\(folder)/kernels", agent: program)
            let id: KernelID = newID()
            let first = try await store.importKernel(id, from: .debian) { _, _, _, _ in }
            try writeFileAtomically(program, busybox + [0], mode: 0o755)
            let both = try await withThrowingTaskGroup(of: StoredKernel.self) { group in
                for _ in 0..<4 { group.addTask { try await store.kernel(id) } }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            let second = try #require(both.first)
            #expect(both.count == 1)
            #expect(second.initramfs != first.initramfs && second.tools != first.tools)
            #expect(second.elf == first.elf && second.modules == first.modules)
            #expect(fileExists(first.initramfs), "a machine that is just starting may still open it")
            try await checkTools(second)
            let removed = try await store.sweep(keeping: [id])
            #expect(removed.count == 2)
            #expect(!fileExists(first.initramfs) && !fileExists(first.tools) && fileExists(second.tools))
            #expect(try await store.sweep(keeping: []) == [id.description])
            try expectEmpty("\(folder)/kernels")
        }
    }

    @Test("a .deb file is imported; a damaged one is corrupt and leaves nothing")
    func packageFile() async throws {
        try await withScratch { folder in
            let package = try await DebianKernelPackage.download(into: folder)
            let store = KernelStore(root: "\(folder)/kernels", agent: agent)
            let bytes = try readFile(package)
            for damage in [bytes.count - 5_000_000, 5_000_000, 4000, 100] {
                let path = "\(folder)/damaged"
                try writeFileAtomically(path, Array(bytes.prefix(damage)))
                let error = await failure {
                    _ = try await store.importKernel(newID(), from: .file(path: path, modules: nil)) { _, _, _, _ in }
                }
                #expect(error?.code == .corrupt, "cut off at \(damage): \(String(describing: error))")
                try expectEmpty("\(folder)/kernels")
            }
            let kernel = try await store.importKernel(newID(), from: .file(path: package, modules: nil)) { _, _, _, _ in
            }
            #expect(kernel.modules > 500)
            #expect(fileExists(package), "the caller's file stays")
        }
    }

    @Test("a kernel without its drivers is refused; one without any module tree is taken as it is")
    func moduleTrees() async throws {
        try await withScratch { folder in
            let store = KernelStore(root: "\(folder)/kernels", agent: agent)
            let path = "\(folder)/vmlinuz"
            try writeFileAtomically(path, try FakeKernel().bootImage(.zstd))
            let bare = try await store.importKernel(newID(), from: .file(path: path, modules: nil)) { _, _, _, _ in }
            #expect(bare.modules == 0 && bare.release == "6.1.0-test")
            let tree = "\(folder)/tree/lib/modules/6.1.0-test"
            try makeFolder(tree)
            try writeFileAtomically("\(tree)/modules.order", [])
            try writeFileAtomically(
                "\(tree)/modules.builtin", Array("kernel/virtio_mmio.ko\nkernel/virtio_blk.ko\n".utf8))
            let source = KernelSource.file(path: path, modules: "\(folder)/tree")
            let error = await failure { _ = try await store.importKernel(newID(), from: source) { _, _, _, _ in } }
            #expect(error?.code == .unsupported)
            #expect(error?.message.contains("virtio_console") == true)
            try writeFileAtomically(
                "\(tree)/modules.builtin",
                Array("kernel/virtio_mmio.ko\nkernel/virtio_blk.ko\nkernel/virtio-console.ko\n".utf8))
            _ = try await store.importKernel(newID(), from: source) { _, _, _, _ in }
            let other = KernelSource.file(path: path, modules: "/proc/version")
            #expect(
                await failure { _ = try await store.importKernel(newID(), from: other) { _, _, _, _ in } }?.code
                    == .corrupt)
        }
    }

    @Test("a damaged manifest or a missing file is corrupt and set aside, never deleted")
    func setAside() async throws {
        try await withScratch { folder in
            let root = "\(folder)/kernels"
            let store = KernelStore(root: root, agent: agent)
            let path = "\(folder)/vmlinuz"
            try writeFileAtomically(path, try FakeKernel().bootImage(.zstd))
            let source = KernelSource.file(path: path, modules: nil)
            let id: KernelID = newID()
            let kernel = try await store.importKernel(id, from: source) { _, _, _, _ in }
            try writeFileAtomically("\(root)/\(id)/manifest.json", Array("{\"version\": 1,".utf8))
            let error = await failure { _ = try await store.kernel(id) }
            #expect(error?.code == .corrupt)
            #expect(error?.remedy?.contains("corrupt-\(id)") == true)
            #expect(try await store.sweep(keeping: []) == [])
            #expect(fileExists("\(root)/corrupt-\(id)/vmlinux"))
            #expect(await failure { _ = try await store.kernel(id) }?.code == .notFound)
            #expect(try await store.importKernel(id, from: source) { _, _, _, _ in } == kernel)
            #expect(truncate(kernel.initramfs, 100) == 0)
            #expect(await failure { _ = try await store.kernel(id) }?.code == .corrupt)
            #expect(fileExists("\(root)/corrupt-\(id)-2/manifest.json"))
        }
    }

    @Test("a manifest of a newer Covey is left alone")
    func newerManifest() async throws {
        try await withScratch { folder in
            let root = "\(folder)/kernels"
            let store = KernelStore(root: root, agent: agent)
            let id: KernelID = newID()
            try makeFolder("\(root)/\(id)")
            try writeFileAtomically("\(root)/\(id)/manifest.json", Array("{\"version\": 99, \"new\": true}".utf8))
            #expect(await failure { _ = try await store.kernel(id) }?.code == .unsupported)
            #expect(try await store.sweep(keeping: []) == [])
            #expect(fileExists("\(root)/\(id)/manifest.json"))
        }
    }

    @Test("the sweep removes what a killed import left, and no other file")
    func sweep() async throws {
        try await withScratch { folder in
            let root = "\(folder)/kernels"
            let store = KernelStore(root: root, agent: agent)
            #expect(try await store.sweep(keeping: []) == [])
            let id: KernelID = newID()
            try makeFolder("\(root)/.new-\(id)/root/modules")
            try makeFolder("\(root)/.gone-\(id)")
            try makeFolder("\(root)/notes")
            #expect(try await store.sweep(keeping: [id]) == [".gone-\(id)", ".new-\(id)"])
            #expect(try listFolder(root) == ["notes"])
            try await store.remove(id)
        }
    }

    @Test("a missing or dynamic guest agent is said so, and leaves nothing")
    func badAgent() async throws {
        try await withScratch { folder in
            let path = "\(folder)/vmlinuz"
            try writeFileAtomically(path, try FakeKernel().bootImage(.xz))
            for (agent, code) in [
                ("/no/agent", ErrorCode.unavailable), ("/bin/sh", .invalid), ("/etc/passwd", .corrupt),
            ] {
                let store = KernelStore(root: "\(folder)/kernels", agent: agent)
                let error = await failure {
                    _ = try await store.importKernel(newID(), from: .file(path: path, modules: nil)) { _, _, _, _ in }
                }
                #expect(error?.code == code)
                try expectEmpty("\(folder)/kernels")
            }
        }
    }

    @Test("an import onto a full file system is said so with a remedy, and leaves nothing")
    func fullDisk() async throws {
        try await withScratch { folder in
            let path = "\(folder)/vmlinuz"
            try writeFileAtomically(path, try FakeKernel().bootImage(.xz))
            try await withSmallDisk(at: "\(folder)/small", size: "1500k") { small in
                let store = KernelStore(root: "\(small)/kernels", agent: agent)
                let error = await failure {
                    _ = try await store.importKernel(newID(), from: .file(path: path, modules: nil)) { _, _, _, _ in }
                }
                #expect(error?.code == .exhausted, "\(String(describing: error))")
                #expect(error?.remedy?.contains("free space") == true)
                let left = try listFolder("\(small)/kernels")
                #expect(left == [])
            }
        }
    }
}
