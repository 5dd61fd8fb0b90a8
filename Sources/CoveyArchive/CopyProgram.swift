internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The program in the guest that packs or unpacks: the archive on standard output or input, notes and the failure on
/// standard error.
package enum CopyProgram {
    /// What is to be done. It is a process of its own, so that it acts as the user it is for, and may block and fail
    /// without the agent.
    package enum Task: Hashable, Sendable {
        case pack(path: String, Packer.Options)
        case unpack(path: String, Unpacker.Options)

        /// The arguments, without the program's name.
        package var arguments: [String] {
            switch self {
            case .pack(let path, let options):
                ["pack", path] + (options.followsLink ? ["follow"] : []) + (options.isExact ? ["exact"] : [])
            case .unpack(let path, let options):
                ["unpack", path] + (options.isExact ? ["exact"] : []) + (options.isPlainArchive ? ["plain"] : [])
            }
        }

        /// Reads arguments; nil for what is none.
        package init?(_ arguments: some Sequence<String>) {
            let arguments = Array(arguments)
            guard arguments.count >= 2 else { return nil }
            let flags = Set(arguments[2...])
            switch arguments[0] {
            case "pack":
                self = .pack(
                    path: arguments[1],
                    Packer.Options(followsLink: flags.contains("follow"), isExact: flags.contains("exact")))
            case "unpack":
                self = .unpack(
                    path: arguments[1],
                    Unpacker.Options(
                        isExact: flags.contains("exact"), followsLinks: true, makesDevices: flags.contains("exact"),
                        isPlainArchive: flags.contains("plain")))
            case _: return nil
            }
        }
    }

    /// Does it on the standard descriptors. Returns the exit code: 0, or 1 with the failure said.
    package static func run(_ arguments: some Sequence<String>) -> Int32 {
        guard let task = Task(arguments) else { return 2 }
        var report = CopyReport()
        let say = { (bytes: [UInt8]) in
            // Who does not listen does not hear it; what was to be done goes on.
            do throws(SystemError) { try writeAll(STDERR_FILENO, bytes) } catch {}
        }
        do {
            switch task {
            case .pack(let path, let options):
                let packer = Packer(options, to: STDOUT_FILENO)
                packer.onNote = { note in if let bytes = report.note(note) { say(bytes) } }
                try packer.pack(path)
            case .unpack(let path, let options):
                let unpacker = Unpacker(options, from: STDIN_FILENO)
                unpacker.onNote = { note in if let bytes = report.note(note) { say(bytes) } }
                try unpacker.unpack(to: path)
            }
            return 0
        } catch {
            say(report.failure(.wrapping(error)))
            return 1
        }
    }
}
