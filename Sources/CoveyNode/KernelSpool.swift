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
        return "\(layout.run)/spool/\(safe.isEmpty ? "none" : String(safe))"
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
        guard kernels.setAside.isEmpty else { return }
        let awaited = Set(kernels.items.map { spoolFolder($0.spec.source) })
        let spool = parentFolder(spoolFolder(""))
        try await pool.run {
            for name in fileExists(spool) ? try listFolder(spool) : [] where !awaited.contains("\(spool)/\(name)") {
                try removeTree("\(spool)/\(name)")
            }
        }
    }

    func kernelSource(_ kernel: Kernel) -> KernelSource {
        guard kernel.spec.source.hasPrefix(MachineHost.spoolPrefix) else { return .debian }
        let path = spoolPath(kernel.spec.source)
        // The module tree that came with it, as a tar archive.
        let modules = "\(path).modules"
        return .file(path: path, modules: fileExists(modules) ? modules : nil)
    }
}
