internal import CoveyImages
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem

/// Files that a client sent for an import wait in a folder of ours; a kernel's source names them by token.
extension MachineHost {
    /// How a source names a spooled file: `spool:TOKEN:NAME`, the name being for people.
    package static let spoolPrefix = "spool:"

    /// The folder of what was spooled for one import; one that does not exist for a source of another kind.
    package func spoolFolder(_ source: String) -> String {
        let token = source.dropFirst(MachineHost.spoolPrefix.count).prefix { $0 != ":" }
        let safe = token.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        return "\(layout.uploads)/\(safe.isEmpty ? "none" : String(safe))"
    }

    /// Where a spooled file lies, under the name that its sender knows it by: errors tell that.
    package func spoolPath(_ source: String) -> String {
        let name = source.dropFirst(MachineHost.spoolPrefix.count).drop { $0 != ":" }.dropFirst().prefix(100)
        let safe = name.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.+~".contains($0)) }.drop { $0 == "." }
        return "\(spoolFolder(source))/\(safe.isEmpty ? "kernel" : String(safe))"
    }

    /// Removes what clients were still sending when the last daemon died; to be called before the first can send.
    package func sweepSpool() async throws {
        let kernels = try await repositories.kernels.list()
        let images = try await repositories.images.list()
        guard kernels.setAside.isEmpty, images.setAside.isEmpty else { return }
        let awaited = Set(
            kernels.items.map { spoolFolder($0.spec.source) } + images.items.compactMap { uploadFolder($0) }
                + images.items.map { fetchFolder("\($0.metadata.id)") }
                + kernels.items.map { fetchFolder("\($0.metadata.id)") })
        let spool = parentFolder(spoolFolder(""))
        try await pool.run {
            for name in fileExists(spool) ? try listFolder(spool) : [] where !awaited.contains("\(spool)/\(name)") {
                try removeTree("\(spool)/\(name)")
            }
        }
    }

    /// What a kernel is imported from; an entry of a catalog is fetched first, a bundle's image awaited.
    func kernelSource(_ kernel: Kernel, _ progress: @escaping ProgressHandler) async throws -> KernelSource {
        let source = kernel.spec.source
        if source.hasPrefix(MachineHost.spoolPrefix) {
            let path = spoolPath(source)
            // The module tree that came with it, as a tar archive.
            let modules = "\(path).modules"
            return .file(path: path, modules: fileExists(modules) ? modules : nil)
        }
        for prefix in [KernelSpec.catalogPrefix, KernelSpec.insecurePrefix] where source.hasPrefix(prefix) {
            let reference = CatalogReference(
                String(source.dropFirst(prefix.count)), insecure: prefix == KernelSpec.insecurePrefix)
            let path = try await fetch(
                reference, [.kernel], kernel.spec.architecture, into: fetchFolder("\(kernel.metadata.id)"), progress)
            return .file(path: path.path, modules: nil)
        }
        if source.hasPrefix(KernelSpec.imagePrefix) {
            guard let id = ImageID(String(source.dropFirst(KernelSpec.imagePrefix.count))) else {
                throw CoveyError(.invalid, "kernel \(kernel.metadata.name) names no image that it comes from")
            }
            return .file(path: try await bundledKernel(of: id, name: kernel.metadata.name), modules: nil)
        }
        return .debian
    }
}
