internal import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc

extension KernelStore {
    private static let kernelName = "vmlinux"
    private static let toolsUUID = "636f7665-792d-746f-6f6c-730000000001"

    /// Makes a kernel's files in a staging folder.
    func build(
        in staging: String, from source: KernelSource, agent: GuestAgent, _ progress: @escaping ProgressHandler
    ) async throws -> KernelManifest {
        let file: String
        let subject: String
        var tree: String?
        switch source {
        case .debian:
            progress("package", nil, nil, nil)
            file = try await DebianKernelPackage.download(into: staging)
            subject = file.split(separator: "/").last.map(String.init) ?? file
        case .file(let path, let modules):
            file = path
            subject = path.split(separator: "/").last.map(String.init) ?? path
            tree = modules
        }
        progress("kernel", nil, nil, nil)
        let moduleTree = tree
        let target = "\(staging)/\(KernelStore.kernelName)"
        let kernel = try await pool.run { cancellation in
            try unpack(file, modules: moduleTree, subject: subject, staging: staging, cancellation)
        }
        progress("modules", nil, nil, nil)
        try await index(kernel.release, in: staging)
        progress("tools", nil, nil, nil)
        // A file is imported without the network.
        let programs = ShellPrograms(folder: "\(staging)/root")
        let isDebian = if case .debian = source { true } else { false }
        let isHosts = try await pool.run { try programs.takeFromHost($0) }
        if !isHosts, isDebian { _ = try await programs.fetch(in: "\(staging)/packages", pool: pool) }
        let size = try await pool.run { _ in try FileFacts(target).size }
        return try await derive(
            KernelManifest(
                version: KernelManifest.currentVersion, release: kernel.release, payload: kernel.payload, modules: 0,
                elf: .init(name: KernelStore.kernelName, size: size, digest: kernel.digest),
                initramfs: .init(name: "", size: 0, digest: ""), tools: .init(name: "", size: 0, digest: ""), agent: ""),
            in: staging, agent: agent)
    }

    /// Makes initramfs and tools disk of a stored kernel anew: the module tree comes from the present tools disk.
    func rebuild(
        _ manifest: KernelManifest, in folder: String, staging: String, agent: GuestAgent
    ) async throws -> KernelManifest {
        let tools = "\(folder)/\(manifest.tools.name)"
        try await pool.run { _ in
            guard try Digest.file(tools, Cancellation()) == manifest.tools.digest else {
                throw CoveyError(
                    .corrupt, "the tools disk of kernel \(manifest.release) is damaged",
                    remedy: "remove the kernel and import it again")
            }
            try makeFolder("\(staging)/root/tools", mode: 0o755)
        }
        try await Tool.debugfs.run(["-R", "rdump /modules root", tools], in: staging, limit: .seconds(120))
        // A tools disk without them says so on standard error alone.
        try await Tool.debugfs.run(["-R", "rdump /ssh root", tools], in: staging, limit: .seconds(120))
        try await pool.run { _ in
            try ShellPrograms(folder: "\(staging)/root").settle()
        }
        let changed = try await derive(manifest, in: staging, agent: agent)
        guard changed.modules == manifest.modules else {
            throw CoveyError(.failure, "the module tree of kernel \(manifest.release) could not be read back")
        }
        return changed
    }

    private func unpack(
        _ file: String, modules: String?, subject: String, staging: String, _ cancellation: Cancellation
    ) throws -> UnpackedKernel {
        let image = "\(staging)/vmlinuz"
        let target = "\(staging)/\(KernelStore.kernelName)"
        let tree = "\(staging)/root/modules"
        try makeFolder("\(staging)/root/tools", mode: 0o755)
        try makeFolder(tree, mode: 0o755)
        let source = ModuleSource(modules: tree, kernel: image, subject: subject, cancellation: cancellation)
        let isPackage: Bool
        switch try KernelFile.recognise(file, subject: subject) {
        case .package:
            isPackage = true
            try source.unpackPackage(file)
        case .archive:
            isPackage = true
            try source.unpackCollection(file)
        case .bootImage, .elf: isPackage = false
        }
        let kernel = try KernelFile.unpack(isPackage ? image : file, to: target, subject: subject, cancellation)
        try letMachinesRead(target)
        if isPackage {
            try removeFile(image)
            if file.hasPrefix(staging) { try removeFile(file) }
        }
        if let modules {
            let source = ModuleSource(
                modules: tree, kernel: nil, subject: "the module tree", cancellation: cancellation)
            try source.take(from: modules, release: kernel.release)
        }
        for name in try listFolder(tree) where name != kernel.release { try removeTree("\(tree)/\(name)") }
        if !fileExists("\(tree)/\(kernel.release)") {
            // Ubuntu's kernels and their modules are in packages of their own.
            guard !isPackage else {
                throw CoveyError(
                    .invalid, "\(subject) holds no modules of kernel \(kernel.release)",
                    remedy: "import it with the package that has them: covey kernel import \(subject) "
                        + "linux-modules-\(kernel.release)….deb")
            }
            guard modules == nil else {
                throw CoveyError(
                    .invalid, "the module tree holds nothing for kernel \(kernel.release)",
                    remedy: "give the folder lib/modules/\(kernel.release) of this very kernel")
            }
            try makeFolder("\(tree)/\(kernel.release)", mode: 0o755)
        }
        return kernel
    }

    /// A VMM opens kernel and initramfs once more as its own user; the folders above let nobody else in.
    private func letMachinesRead(_ path: String) throws(SystemError) { try check("chmod", path) { chmod(path, 0o644) } }

    /// Lets depmod write the indexes that the initramfs and the guest's modprobe need.
    private func index(_ release: String, in staging: String) async throws {
        // A kmod looks for modules in the one or the other.
        let base = "\(staging)/base"
        try await pool.run { _ in
            for folder in ["lib", "usr/lib"] {
                try makeFolder("\(base)/\(folder)")
                let link = "\(base)/\(folder)/modules"
                try check("symlink", link) { symlink("\(staging)/root/modules", link) }
            }
        }
        try await Tool.depmod.run(["-b", base, release], limit: .seconds(120))
        try await pool.run { _ in try removeTree(base) }
    }

    /// Makes initramfs and tools disk from `root/` in the staging folder, and removes that.
    private func derive(
        _ manifest: KernelManifest, in staging: String, agent: GuestAgent
    ) async throws -> KernelManifest {
        let tag = String(agent.digest.suffix(16))
        let root = "\(staging)/root"
        var manifest = manifest
        let release = manifest.release
        manifest.agent = agent.digest
        manifest.initramfs.name = "initramfs-\(tag)"
        manifest.tools.name = "tools-\(tag).ext4"
        let initramfs = "\(staging)/\(manifest.initramfs.name)"
        let tools = "\(staging)/\(manifest.tools.name)"
        let (count, abilities, content) = try await pool.run { cancellation in
            let folder = "\(root)/modules/\(release)"
            let tree = try ModuleTree(folder, release: release)
            // A kernel that came without any tree has everything built in, or its user knows why not.
            let bare = tree.count == 0 && !fileExists("\(folder)/modules.order")
            let abilities = KernelAbilities(tree: tree, isBare: bare)
            let bytes = try Initramfs.bytes(agent: agent.bytes, modules: bare ? nil : tree)
            let file = try openFile(initramfs, [.writeOnly, .create, .exclusive])
            try bytes.withUnsafeBytes { try writeAll(file.raw, $0, initramfs) }
            try letMachinesRead(initramfs)
            try ToolPrograms(folder: root).fill()
            try ShellPrograms(folder: root).linkShell()
            return (tree.count, abilities, try Ext4Builder.measure(root, cancellation))
        }
        manifest.modules = count
        manifest.drivers = abilities.drivers
        manifest.boots = abilities.boots
        let builder = Ext4Builder(label: "covey-tools", uuid: KernelStore.toolsUUID, readOnly: true)
        try await builder.make(
            tools, from: root, size: Ext4Builder.tightSize(of: content), inodes: content.inodes + 64, pool: pool)
        let result = manifest
        return try await pool.run { cancellation in
            var manifest = result
            try removeTree(root)
            manifest.initramfs.size = try FileFacts(initramfs).size
            manifest.initramfs.digest = try Digest.file(initramfs, cancellation)
            manifest.tools.size = try FileFacts(tools).size
            manifest.tools.digest = try Digest.file(tools, cancellation)
            return manifest
        }
    }
}
