internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Files of ssh's public keys.
enum PublicKeys {
    private static let limit = 1 << 20

    /// The keys of a file, a line each. Errors: ``ErrorCode/notFound``, ``ErrorCode/invalid`` for a private key.
    static func read(_ path: String) throws(CoveyError) -> [String] {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path, limit: limit) } catch {
            guard error.isErrno(ENOENT) else { throw error.coveyError }
            throw CoveyError(.notFound, "there is no file \(path)", remedy: "name one such as ~/.ssh/id_ed25519.pub")
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map { String($0) }
        guard !lines.contains(where: { $0.hasPrefix("-----BEGIN") }) else {
            throw CoveyError(.invalid, "\(path) is a private key", remedy: "give the public one: \(path).pub")
        }
        let keys = lines.filter { !$0.hasPrefix("#") && $0.contains { !$0.isWhitespace } }
        guard !keys.isEmpty else { throw CoveyError(.invalid, "\(path) holds no key") }
        return keys
    }
}
