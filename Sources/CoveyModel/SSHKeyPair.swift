/// An Ed25519 key pair in the forms that OpenSSH reads. Its description does not show the private half.
///
/// Sources: RFC 8709; OpenSSH, `PROTOCOL.key`.
package struct SSHKeyPair: Hashable, Sendable, CustomStringConvertible {
    private static let algorithm = "ssh-ed25519"

    /// `ssh-ed25519` and the key in base64, without a comment: what stands in `authorized_keys` and `known_hosts`.
    package let publicLine: String
    /// The private key file, unencrypted. A secret.
    package let privateText: String

    /// Makes the forms.
    ///
    /// - Parameters:
    ///   - seed: The private key, 32 bytes. A secret.
    ///   - publicKey: The public key, 32 bytes.
    ///   - check: Any number; readers compare its two copies.
    ///   - comment: For people.
    package init(seed: [UInt8], publicKey: [UInt8], check: UInt32, comment: String) {
        var blob = SSHBytes()
        blob.put(Array(SSHKeyPair.algorithm.utf8))
        blob.put(publicKey)
        publicLine = "\(SSHKeyPair.algorithm) \(Base64.encode(blob.bytes))"
        var secret = SSHBytes()
        secret.put(check)
        secret.put(check)
        secret.put(Array(SSHKeyPair.algorithm.utf8))
        secret.put(publicKey)
        secret.put(seed + publicKey)
        secret.put(Array(comment.utf8))
        var pad: UInt8 = 1
        while secret.bytes.count % 8 != 0 {
            secret.bytes.append(pad)
            pad += 1
        }
        var file = SSHBytes()
        file.bytes = Array("openssh-key-v1\0".utf8)
        for word in ["none", "none", ""] { file.put(Array(word.utf8)) }
        file.put(1)
        file.put(blob.bytes)
        file.put(secret.bytes)
        var lines = ["-----BEGIN OPENSSH PRIVATE KEY-----"]
        var rest = Base64.encode(file.bytes)[...]
        while !rest.isEmpty {
            lines.append(String(rest.prefix(70)))
            rest = rest.dropFirst(70)
        }
        privateText = (lines + ["-----END OPENSSH PRIVATE KEY-----", ""]).joined(separator: "\n")
    }

    package var description: String { publicLine }
}

/// Bytes as SSH writes them. Source: RFC 4251, 5.
private struct SSHBytes {
    var bytes: [UInt8] = []

    mutating func put(_ number: UInt32) {
        for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: number >> UInt32(shift))) }
    }

    mutating func put(_ text: [UInt8]) {
        put(UInt32(text.count))
        bytes += text
    }
}

/// Base64 with padding. Source: RFC 4648, 4.
enum Base64 {
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let word = part.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - part.count))
            for place in 0..<4 {
                let digit = digits[Int(word >> UInt32(18 - 6 * place) & 63)]
                out.append(place <= part.count ? digit : UInt8(ascii: "="))
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
