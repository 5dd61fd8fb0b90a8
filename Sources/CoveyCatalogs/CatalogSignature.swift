package import CoveyModel
internal import Crypto
internal import FoundationEssentials

/// Whose signature stands under an index: `index.json.sig`, 64 bytes of Ed25519 (RFC 8032), raw or in base64.
package enum CatalogSignature {
    /// The longest signature file that is read.
    package static let largest = ByteCount(1024)

    /// Throws ``ErrorCode/denied`` unless one of the keys signed the bytes.
    ///
    /// - Parameters:
    ///   - signature: The content of `index.json.sig`; nil where there is none.
    ///   - bytes: The content of `index.json`.
    ///   - keys: Raw public keys in base64.
    package static func check(
        _ signature: [UInt8]?, of bytes: [UInt8], keys: [String], catalog: String
    ) throws(CoveyError) {
        func refused(_ why: String) -> CoveyError {
            CoveyError(
                .denied, "catalog \(catalog) is not to be trusted: \(why)",
                remedy: "ask the one who runs it; its keys stand in catalog.sources", retryable: false)
        }
        guard let signature else { throw refused("it has no index.json.sig") }
        guard let raw = raw(signature) else { throw refused("its signature is none of Ed25519") }
        for key in keys {
            guard let data = Data(base64Encoded: key),
                let key = try? Curve25519.Signing.PublicKey(rawRepresentation: data)
            else { throw CoveyError(.invalid, "catalog \(catalog) has a key that is none of Ed25519") }
            if key.isValidSignature(raw, for: Data(bytes)) { return }
        }
        throw refused("its signature is of none of its \(keys.count == 1 ? "key" : "\(keys.count) keys")")
    }

    private static func raw(_ bytes: [UInt8]) -> Data? {
        if bytes.count == 64 { return Data(bytes) }
        let text = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
        guard let data = Data(base64Encoded: text), data.count == 64 else { return nil }
        return data
    }
}
