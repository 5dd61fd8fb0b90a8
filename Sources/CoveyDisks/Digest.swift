internal import CoveySystem
internal import Crypto
internal import Glibc

/// A SHA-256 digest that is fed piece by piece.
struct Digest {
    private var hash = SHA256()

    /// Adds bytes.
    mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }

    /// `sha256:` and 64 hex digits.
    func text() -> String {
        let digits = Array("0123456789abcdef".utf8)
        return "sha256:"
            + String(
                decoding: hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The digest of a file, read in pieces. Blocks.
    static func file(_ path: String, _ cancellation: Cancellation) throws -> String {
        let file = try openFile(path, [.readOnly, .noFollow])
        _ = posix_fadvise(file.raw, 0, 0, POSIX_FADV_SEQUENTIAL)
        var digest = Digest()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            try cancellation.check()
            let got = try check("read", path) { read(file.raw, buffer.baseAddress, buffer.count) }
            if got == 0 { return digest.text() }
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
        }
    }
}
