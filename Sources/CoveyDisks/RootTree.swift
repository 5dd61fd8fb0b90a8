internal import CoveySystem
internal import Glibc

/// A root file system in the making, written as root of our own folder. Blocks.
struct RootTree {
    /// The folder that becomes `/`.
    let folder: String

    /// Makes a folder and its parents.
    func makeFolders(_ paths: [String], mode: UInt32 = 0o755) throws {
        for path in paths {
            let full = "\(folder)/\(path)"
            try makeFolder(full, mode: 0o755)
            // The umask took bits away.
            try check("chmod", full) { chmod(full, mode) }
        }
    }

    /// Writes a file in place of what is there, links included.
    func write(_ path: String, _ text: String, mode: UInt32 = 0o644) throws {
        let full = "\(folder)/\(path)"
        try makeFolder(parentFolder(full), mode: 0o755)
        try removeFile(full)
        let file = try openFile(full, [.writeOnly, .create, .exclusive, .noFollow], mode: mode)
        try check("fchmod", full) { fchmod(file.raw, mode) }
        try writeAll(file.raw, Array(text.utf8))
    }

    /// Makes a link in place of what is there.
    func link(_ path: String, to target: String) throws {
        let full = "\(folder)/\(path)"
        try makeFolder(parentFolder(full), mode: 0o755)
        try removeFile(full)
        try check("symlink", full) { symlink(target, full) }
    }

    /// Gives everything the time 1970-01-01, deepest first.
    func settleTimes(_ paths: [String]) throws {
        for path in paths.reversed() { try setFileTimes("\(folder)\(path)", secondsSince1970: 0) }
    }
}
