internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A file that never takes more than its limit. Bytes that the disk refuses are dropped, counted, and told in the
/// file once it takes bytes again.
///
/// Used by the draining thread only: writing may stall.
package final class LogFile {
    private let outlet: Outlet
    private var file: FileDescriptor?
    private var size: Int64 = 0
    private var beginsAnew: Bool

    /// Bytes that were lost and not told yet.
    package private(set) var lost: Int64 = 0

    /// A log that opens its file with the first bytes; what is there is kept, unless it `beginsAnew`.
    package init(_ outlet: Outlet, beginsAnew: Bool) {
        self.outlet = outlet
        self.beginsAnew = beginsAnew
    }

    /// Makes the file, so that it is there without a byte too.
    package func prepare() {
        do throws(SystemError) { try open() } catch { file = nil }
    }

    /// Takes bytes; never fails.
    package func write(_ bytes: [UInt8]) {
        do throws(SystemError) {
            try open()
            if lost > 0 && outlet.policy == .newest {
                let note = Array("\n[covey-guard: \(lost) bytes lost]\n".utf8)
                if size + Int64(note.count) > half { try rotate() }
                try put(note[...])
                lost = 0
            }
        } catch {
            lost += Int64(bytes.count)
            return
        }
        var rest = bytes[...]
        do throws(SystemError) {
            switch outlet.policy {
            case .first:
                let room = max(0, outlet.limit.bytes - size)
                rest = rest.prefix(Int(room))
                while !rest.isEmpty { rest = rest.dropFirst(try put(rest)) }
            case .newest:
                while !rest.isEmpty {
                    if size >= half { try rotate() }
                    rest = rest.dropFirst(try put(rest.prefix(Int(half - size))))
                }
            }
        } catch { lost += Int64(rest.count) }
    }

    private var half: Int64 { max(1, outlet.limit.bytes / 2) }

    @discardableResult
    private func put(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
        guard let raw = file?.raw else { throw SystemError("write", outlet.path, errno: EBADF) }
        let count = try writeSome(raw, bytes)
        // A regular file always takes something or fails.
        if count == 0 && !bytes.isEmpty { throw SystemError("write", outlet.path, errno: EIO) }
        size += Int64(count)
        return count
    }

    private func open() throws(SystemError) {
        if file != nil { return }
        var flags: OpenFlags = [.writeOnly, .create, .append, .noFollow, .nonBlocking]
        if beginsAnew { flags.insert(.truncate) }
        let opened = try openFile(outlet.path, flags)
        var information = stat()
        try check("fstat", outlet.path) { fstat(opened.raw, &information) }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw SystemError("open", outlet.path, errno: EINVAL)
        }
        beginsAnew = false
        size = Int64(information.st_size)
        file = consume opened
    }

    private func rotate() throws(SystemError) {
        file = nil
        try check("rename", outlet.path) { rename(outlet.path, "\(outlet.path).1") }
        try open()
    }
}
