internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A kernel's modules as depmod left them: `…/modules/RELEASE`.
struct ModuleTree {
    /// What a microVM needs to reach its root disk and its host.
    static let required = ["virtio_mmio", "virtio_blk", "virtio_console"]
    /// What it loads where it is a module: the root file system. All else comes from the tools disk when it is needed:
    /// a module costs 20 to 40 ms of an emulated boot.
    static let optional = ["ext4"]

    /// What it loads beside them where it has such a device.
    static let network = ["virtio_net"]

    private let folder: String
    private let release: String
    /// Dependencies by canonical name; the path is relative to the folder.
    private var modules: [String: (path: String, needs: [String])] = [:]
    private var builtIn: Set<String> = []
    private var first: [String: [String]] = [:]
    private var aliases: [String: String] = [:]

    /// Reads the tree's indexes. Blocks. Errors: ``ErrorCode/corrupt``.
    init(_ folder: String, release: String) throws {
        self.folder = folder
        self.release = release
        for line in try lines(of: "modules.dep") {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let path = try ModuleTree.checked(parts[0])
            modules[ModuleTree.name(of: path)] = (path, try parts[1].split(separator: " ").map(ModuleTree.checked))
        }
        for line in try lines(of: "modules.builtin") { builtIn.insert(ModuleTree.name(of: String(line))) }
        for line in try lines(of: "modules.softdep") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 3, words[0] == "softdep", let start = words.firstIndex(of: "pre:") else { continue }
            first[words[1], default: []] += words[(start + 1)...].prefix { $0 != "post:" }
        }
        for line in try lines(of: "modules.alias") {
            let words = line.split(separator: " ")
            guard words.count == 3, !words[1].contains("*"), !words[1].contains(":") else { continue }
            aliases[ModuleTree.canonical(words[1])] = String(words[2])
        }
    }

    /// How many modules there are.
    var count: Int { modules.count }

    /// How the kernel has a driver; a tree that names nothing as built in does not tell what is missing.
    func presence(of name: String) -> KernelDriver.Presence {
        let name = ModuleTree.canonical(name)
        if builtIn.contains(name) { return .builtIn }
        return modules[name] == nil ? .missing : .module
    }

    /// The modules that a microVM loads before its root disk is there, in load order, as paths in the folder.
    ///
    /// Errors: ``ErrorCode/unsupported`` where a required one is neither there nor built in.
    func bootOrder() throws(CoveyError) -> [String] {
        var order: [String] = []
        for name in ModuleTree.required + ModuleTree.optional where !builtIn.contains(name) {
            if modules[name] == nil && ModuleTree.required.contains(name) {
                throw CoveyError(
                    .unsupported, "kernel \(release) has no \(name), neither built in nor as a module",
                    remedy: "use a kernel with virtio support, such as Debian's cloud kernel")
            }
            add(name, to: &order)
        }
        return order
    }

    /// The modules of a network device, in load order and without those that are loaded in any case; empty where it
    /// is built in or missing.
    func networkOrder() throws(CoveyError) -> [String] {
        let before = try bootOrder()
        var order = before
        for name in ModuleTree.network where !builtIn.contains(name) { add(name, to: &order) }
        return Array(order.dropFirst(before.count))
    }

    private func add(_ name: String, to order: inout [String]) {
        let name = ModuleTree.canonical(name)
        guard let module = modules[name] ?? aliases[name].flatMap({ modules[$0] }), !order.contains(module.path) else {
            return
        }
        // depmod writes the deepest dependency last.
        for path in module.needs.reversed() + [module.path] where !order.contains(path) {
            for early in first[ModuleTree.name(of: path)] ?? [] where ModuleTree.canonical(early) != name {
                add(early, to: &order)
            }
            if !order.contains(path) { order.append(path) }
        }
    }

    /// A module's content, unpacked. Blocks.
    func content(of path: String) throws -> [UInt8] {
        let full = "\(folder)/\(path)"
        guard !path.hasSuffix(".ko") else { return try readFile(full) }
        let file = try openFile(full, [.readOnly, .noFollow])
        let archive = try Archive(descriptor: file.raw, .raw, subject: "module \(path)")
        var bytes: [UInt8] = []
        if try archive.next() != nil { try archive.content(limit: 64 << 20) { bytes += $0 } }
        return bytes
    }

    /// `virtio_blk` of `kernel/drivers/block/virtio-blk.ko.xz`.
    static func name(of path: String) -> String {
        let file = path.split(separator: "/").last ?? ""
        return canonical(file.split(separator: ".").first ?? "")
    }

    private static func canonical(_ name: some StringProtocol) -> String {
        String(name.map { $0 == "-" ? "_" : $0 })
    }

    private static func checked(_ path: Substring) throws(CoveyError) -> String {
        guard !path.hasPrefix("/"), !path.split(separator: "/").contains(".."), path.contains(".ko") else {
            throw CoveyError(.corrupt, "the module index names a file outside of its tree")
        }
        return String(path)
    }

    private func lines(of name: String) throws -> [Substring] {
        let path = "\(folder)/\(name)"
        guard fileExists(path) else { return [] }
        return String(decoding: try readFile(path), as: UTF8.self).split(separator: "\n")
    }
}
