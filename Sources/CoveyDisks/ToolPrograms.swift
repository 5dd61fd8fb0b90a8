internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Programs on the tools disk for images that lack them: `modprobe` and its like, by the host's static busybox.
struct ToolPrograms {
    /// The folder that machines see as `/run/covey/tools`.
    let folder: String

    private static let program = "/bin/busybox"
    private static let names = ["modprobe", "insmod", "rmmod", "lsmod", "modinfo"]

    /// Puts them there; a host without a static busybox gives none. Blocks.
    func fill() throws {
        guard fileExists(ToolPrograms.program), let path = realpath(ToolPrograms.program, nil) else { return }
        defer { free(path) }
        do { try ELFFile.open(String(cString: path), subject: ToolPrograms.program).requireStatic() } catch let error
            as CoveyError where error.code == .invalid
        { return }
        let bin = "\(folder)/bin"
        try makeFolder(bin, mode: 0o755)
        let target = "\(bin)/busybox"
        let input = try openFile(ToolPrograms.program, .readOnly)
        let output = try openFile(target, [.writeOnly, .create, .exclusive], mode: 0o755)
        while let bytes = try readSome(input.raw, limit: 1 << 20), !bytes.isEmpty { try writeAll(output.raw, bytes) }
        try check("fchmod", target) { fchmod(output.raw, 0o755) }
        for name in ToolPrograms.names {
            try check("symlink", name) { symlink("busybox", "\(bin)/\(name)") }
        }
    }
}
