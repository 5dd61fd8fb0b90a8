internal import CoveyImages
internal import CoveyModel

/// Files that a client sent for an import wait in a folder of ours; a kernel's source names them by token.
extension MachineHost {
    /// How a source names a spooled file: `spool:TOKEN:NAME`, the name being for people.
    package static let spoolPrefix = "spool:"

    /// Where a spooled file lies; a path that does not exist for a source of another kind.
    package func spoolPath(_ source: String) -> String {
        let token = source.dropFirst(MachineHost.spoolPrefix.count).prefix { $0 != ":" }
        let safe = token.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        return "\(layout.run)/spool/\(safe.isEmpty ? "none" : String(safe))"
    }

    func kernelSource(_ kernel: Kernel) -> KernelSource {
        guard kernel.spec.source.hasPrefix(MachineHost.spoolPrefix) else { return .debian }
        return .file(path: spoolPath(kernel.spec.source), modules: nil)
    }
}
