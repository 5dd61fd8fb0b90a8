internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Copies that leave holes where there are zeros. All of it blocks.
enum SparseCopy {
    private static let block = 1 << 16
    private static let piece = 1 << 20

    /// Bytes of an open file; fewer at its end.
    static func read(_ descriptor: Int32, at offset: Int64, count: Int) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let done = got
            let more = bytes.withUnsafeMutableBytes { buffer in
                pread(descriptor, buffer.baseAddress.map { $0 + done }, count - done, off_t(offset) + off_t(done))
            }
            if more < 0 && errno == EINTR { continue }
            guard more >= 0 else { throw SystemError("pread", "a file") }
            if more == 0 { break }
            got += more
        }
        return Array(bytes.prefix(got))
    }

    /// Copies a file.
    static func file(_ source: String, to target: String) throws {
        let size = try FileFacts(source).size
        try range(source, from: 0, count: size, to: target, Cancellation())
    }

    /// Copies a part of a file. Errors: ``ErrorCode/corrupt`` where the file ends before it.
    static func range(
        _ source: String, from offset: Int64, count: Int64, to target: String, _ cancellation: Cancellation
    ) throws {
        let input = try openFile(source, [.readOnly, .noFollow])
        var writer = try Writer(target)
        var done: Int64 = 0
        while done < count {
            try cancellation.check()
            let bytes = try read(input.raw, at: offset + done, count: Int(min(Int64(piece), count - done)))
            guard !bytes.isEmpty else {
                throw CoveyError(.corrupt, "a disk is cut off", remedy: "fetch or copy it again")
            }
            try bytes.withUnsafeBytes { try writer.write($0) }
            done += Int64(bytes.count)
        }
        try writer.finish()
    }

    /// Writes a new file from its front.
    struct Writer: ~Copyable {
        private let file: FileDescriptor
        private let path: String
        private var offset: Int64 = 0

        init(_ path: String) throws(SystemError) {
            self.path = path
            file = try openFile(path, [.writeOnly, .create, .exclusive, .noFollow])
        }

        /// Adds bytes; whole blocks of zeros become holes.
        mutating func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
            var rest = bytes
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest.prefix(block))
                if !isZero(part) {
                    var put = 0
                    while put < part.count {
                        put += try check("pwrite", path) {
                            pwrite(
                                file.raw, part.baseAddress.map { $0 + put }, part.count - put,
                                off_t(offset) + off_t(put))
                        }
                    }
                }
                offset += Int64(part.count)
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(part.count))
            }
        }

        /// Gives the file its length.
        mutating func finish() throws(SystemError) {
            try check("ftruncate", path) { ftruncate(file.raw, off_t(offset)) }
        }

        private func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
            guard let base = bytes.baseAddress, let first = bytes.first, first == 0 else { return bytes.isEmpty }
            return bytes.count == 1 || memcmp(base, base + 1, bytes.count - 1) == 0
        }
    }
}
