internal import CoveyModel
internal import Crypto
internal import FoundationEssentials

/// Where a catalog or a file of one lies.
enum CatalogPlace: Hashable, Sendable {
    /// On this host.
    case local(String)
    /// On a web server.
    case web(String)

    /// The folder of a configured catalog.
    init(_ url: String) { self = url.hasPrefix("/") ? .local(url) : .web(url) }

    /// The last part of its path, for messages.
    var name: String {
        switch self {
        case .local(let path), .web(let path): path.split(separator: "/").last.map { String($0) } ?? path
        }
    }

    /// A file by its address, which starts at this folder unless it says otherwise.
    func file(_ address: String) throws(CoveyError) -> CatalogPlace {
        if address.hasPrefix("https://") || address.hasPrefix("http://") { return .web(address) }
        guard !address.hasPrefix("/"), !address.split(separator: "/").contains("..") else {
            throw CoveyError(.corrupt, "a catalog names a file outside of it")
        }
        switch self {
        case .local(let path): return .local("\(path)/\(address)")
        case .web(let url): return .web("\(url)/\(address)")
        }
    }

    /// Whether a URL leads to this host by an address that cannot lead elsewhere.
    static func isLoopback(_ url: String) -> Bool {
        guard let host = URL(string: url)?.host(percentEncoded: false)?.lowercased() else { return false }
        return ["localhost", "127.0.0.1", "::1", "[::1]"].contains(host)
    }
}

/// A SHA-256 digest that is fed piece by piece.
struct FileDigest {
    private var hash = SHA256()

    mutating func update(_ bytes: [UInt8]) { hash.update(data: bytes) }

    var value: ContentDigest? {
        ContentDigest(
            hex: hash.finalize().map { byte in
                let text = String(byte, radix: 16)
                return text.count == 1 ? "0\(text)" : text
            }.joined())
    }
}
