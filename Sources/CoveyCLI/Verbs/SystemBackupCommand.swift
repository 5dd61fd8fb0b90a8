internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey system backup`.
struct SystemBackupCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Write all state of the daemon to a file, as it stands at one moment.",
        discussion: """
            The file holds what is wanted and what was seen of machines, images, kernels, volumes and networks, but not
            their disks. It is readable by its owner alone.

            Example: covey system backup /var/backups/covey-2026-01-31
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The file; - is standard output.")
    var file: String

    func perform() async throws -> Int32 {
        if file == "-" {
            guard !Standard.isTerminal(STDOUT_FILENO) else {
                throw ValidationError("a backup is not for a terminal: name a file, or send it on")
            }
            try await global.connect { client in try await client.backup { try await Self.write($0, STDOUT_FILENO) } }
            return 0
        }
        // Under another name until it is whole.
        let partial = "\(file).partial"
        try removeFile(partial)
        let target = try openFile(partial, [.writeOnly, .create, .exclusive], mode: 0o600)
        let raw = target.raw
        do {
            try await global.connect { client in try await client.backup { try await Self.write($0, raw) } }
            try check("fsync", partial) { fsync(raw) }
            try check("rename", file) { rename(partial, file) }
            try syncFolder(parentFolder(file))
        } catch {
            try removeFile(partial)
            throw error
        }
        try global.printed.object(["file": file], name: file)
        return 0
    }

    private static func write(_ bytes: [UInt8], _ descriptor: Int32) async throws {
        try await BlockingPool("covey-file").run { () throws in try writeAll(descriptor, bytes) }
    }
}
