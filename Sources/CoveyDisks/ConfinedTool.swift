internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Tools that read what nobody vouches for: file systems and disk images that callers sent.
///
/// They run as nobody, without capabilities, with no-new-privileges and a bounded memory, and get their files as
/// descriptors: whatever such a file makes them do, they reach no other file of the daemon.
extension Tool {
    static let e2fsck = Tool(name: "e2fsck", package: "e2fsprogs")
    static let qemuImage = Tool(name: "qemu-img", package: "qemu-utils")
    private static let setpriv = Tool(name: "setpriv", package: "util-linux")
    private static let prlimit = Tool(name: "prlimit", package: "util-linux")
    private static let shell = Tool(name: "sh", package: "dash")
    private static let nobody = "65534"
    private static let addressSpace = ByteCount.gibibytes(8)

    /// How a tool names the file with an index among those that it was given.
    static func confinedPath(_ index: Int) -> String { "/dev/fd/\(3 + index)" }

    /// Runs the tool; its arguments name the files by ``confinedPath(_:)``, `reading` first.
    ///
    /// - Parameters:
    ///   - reading: Files that it reads.
    ///   - writing: A file that it reads and writes.
    /// - Throws: As ``run(_:in:environment:limit:outputLimit:onLine:)``.
    @discardableResult
    func runConfined(
        _ arguments: [String], reading: [String], writing: String? = nil, limit: Duration,
        outputLimit: Int = 1 << 20, pool: BlockingPool
    ) async throws -> Output {
        let program = try path()
        // A descriptor's path is opened anew with the tool's own rights; the folders above let nobody else in.
        try await pool.run { @Sendable () throws in
            for file in reading { try check("chmod", file) { chmod(file, 0o644) } }
            if let writing { try check("chmod", writing) { chmod(writing, 0o666) } }
        }
        let files = reading + [writing].compactMap(\.self)
        var script = ""
        for index in files.indices {
            let way = index < reading.count ? "<" : "<>"
            script += "exec \(3 + index)\(way)\"${\(index + 1)}\"; "
        }
        script += "shift \(files.count); exec \"$@\""
        var command: [String] = []
        if geteuid() == 0 {
            command = [
                try Tool.setpriv.path(), "--reuid=\(Tool.nobody)", "--regid=\(Tool.nobody)", "--clear-groups",
                "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
            ]
        }
        command += [try Tool.prlimit.path(), "--as=\(Tool.addressSpace.bytes)", "--core=0", program] + arguments
        do {
            let output = try await Tool.shell.run(
                ["-c", script, name] + files + command, limit: limit, outputLimit: outputLimit)
            try await restore(writing, pool)
            return output
        } catch {
            try await restore(writing, pool)
            guard var failure = error as? CoveyError, failure.code == .failure || failure.code == .deadline else {
                throw error
            }
            failure.message = "\(name)\(failure.message.dropFirst(Tool.shell.name.count))"
            throw failure
        }
    }

    private func restore(_ path: String?, _ pool: BlockingPool) async throws {
        guard let path else { return }
        try await pool.run { @Sendable () throws in _ = try check("chmod", path) { chmod(path, 0o644) } }
    }
}
