internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Reads a console log that is rotated to `path.1` while it is read.
package final class ConsoleReader {
    private let path: String
    private var file: FileDescriptor?
    private var inode: UInt64 = 0
    private var older = true

    /// A reader from the oldest byte that is kept.
    package init(_ path: String) { self.path = path }

    /// Passes over all but the newest bytes, before the first call of ``next(limit:)``. Blocks on the disk.
    package func skip(to recent: Int64) throws {
        let (newest, before) = (try ConsoleReader.size(path), try ConsoleReader.size("\(path).1"))
        older = false
        if newest < recent, before > 0 {
            file = try openFile("\(path).1", .readOnly)
            try seek(max(0, before - (recent - newest)), in: "\(path).1")
        } else if newest > 0 {
            file = try openFile(path, .readOnly)
            inode = try ConsoleReader.inode(path) ?? 0
            try seek(max(0, newest - recent), in: path)
        }
    }

    private func seek(_ offset: Int64, in path: String) throws {
        guard let raw = file?.raw else { return }
        try check("lseek", path) { lseek(raw, off_t(offset), SEEK_SET) }
    }

    private static func size(_ path: String) throws -> Int64 {
        var information = stat()
        if stat(path, &information) == 0 { return Int64(information.st_size) }
        if errno == ENOENT { return 0 }
        throw SystemError("stat", path)
    }

    /// The next bytes; empty where there is nothing new. Blocks on the disk.
    package func next(limit: Int = 65536) throws -> [UInt8] {
        if older {
            older = false
            if fileExists("\(path).1") { file = try openFile("\(path).1", .readOnly) }
        }
        while true {
            if let bytes = try current(limit), !bytes.isEmpty { return bytes }
            guard let newest = try ConsoleReader.inode(path), newest != inode else { return [] }
            file = try openFile(path, .readOnly)
            inode = newest
        }
    }

    private func current(_ limit: Int) throws -> [UInt8]? {
        guard let raw = file?.raw else { return nil }
        return try readSome(raw, limit: limit)
    }

    private static func inode(_ path: String) throws -> UInt64? {
        var information = stat()
        if stat(path, &information) == 0 { return UInt64(information.st_ino) }
        if errno == ENOENT { return nil }
        throw SystemError("stat", path)
    }
}
