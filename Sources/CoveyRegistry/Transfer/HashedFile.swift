internal import CoveyModel
internal import CoveySystem
internal import Crypto
internal import Glibc
internal import Synchronization

/// A file that is written from its front to its end, and hashed on the way. Its calls block.
final class HashedFile: Sendable {
    private struct State {
        var hash = SHA256()
        var size: Int64 = 0
    }

    private let descriptor: FileDescriptor
    private let state = Mutex(State())
    let path: String

    /// Opens a file and reads what is there already; one that is longer than `limit` is begun anew.
    init(_ path: String, limit: Int64, _ cancellation: Cancellation) throws {
        self.path = path
        descriptor = try openFile(path, [.readWrite, .create, .noFollow])
        let length = try check("lseek", path) { lseek(descriptor.raw, 0, SEEK_END) }
        if length > limit { try check("ftruncate", path) { ftruncate(descriptor.raw, 0) } }
        try check("lseek", path) { lseek(descriptor.raw, 0, SEEK_SET) }
        while let bytes = try readSome(descriptor.raw, limit: 1 << 20), !bytes.isEmpty {
            try cancellation.check()
            state.withLock { state in
                state.hash.update(data: bytes)
                state.size += Int64(bytes.count)
            }
        }
    }

    /// Bytes that are there.
    var size: Int64 { state.withLock(\.size) }

    /// Adds bytes.
    func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let put = try check("write", path) { Glibc.write(descriptor.raw, rest.baseAddress, rest.count) }
            rest = UnsafeRawBufferPointer(rebasing: rest[put...])
        }
        state.withLock { state in
            state.hash.update(bufferPointer: bytes)
            state.size += Int64(bytes.count)
        }
    }

    /// Makes it empty.
    func reset() throws {
        try check("ftruncate", path) { ftruncate(descriptor.raw, 0) }
        try check("lseek", path) { lseek(descriptor.raw, 0, SEEK_SET) }
        state.withLock { $0 = State() }
    }

    /// The digest of all that is there.
    func digest() -> ContentDigest? { ContentDigest(hex: state.withLock { hexadecimal($0.hash.finalize()) }) }

    /// Makes it durable.
    func sync() throws { try check("fsync", path) { fsync(descriptor.raw) } }
}

/// Bytes as lower-case digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
