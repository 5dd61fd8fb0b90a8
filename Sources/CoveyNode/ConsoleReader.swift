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
