/// Who may log in through one connection of ssh.
package struct ShellAccess: Hashable, Sendable {
    /// Keys that one connection may bring at most.
    package static let mostKeys = 64
    /// The bytes of a key's line at most.
    package static let longestKey = 16 << 10

    /// The user to be; its name or its number.
    package var user: String
    /// Public keys, a line each, as `authorized_keys` holds them but without options.
    package var keys: [String]

    /// Makes an access.
    package init(user: String, keys: [String]) {
        self.user = user
        self.keys = keys
    }

    /// Errors: ``ErrorCode/invalid`` for what is no user's name or no public key.
    package func check() throws(CoveyError) {
        guard !user.isEmpty, user.utf8.count <= 64, user.utf8.first != UInt8(ascii: "-"),
            user.utf8.allSatisfy({ $0 > 32 && $0 != 127 && !":/\"\\,".utf8.contains($0) })
        else { throw CoveyError(.invalid, "\"\(user)\" is no user's name") }
        guard !keys.isEmpty, keys.count <= ShellAccess.mostKeys else {
            throw CoveyError(.invalid, "a connection brings 1 to \(ShellAccess.mostKeys) public keys")
        }
        for key in keys {
            let words = key.split(separator: " ")
            guard key.utf8.count <= ShellAccess.longestKey, key.unicodeScalars.allSatisfy({ $0.value >= 32 }),
                words.count >= 2, ShellAccess.kinds.contains(where: { words[0].hasPrefix($0) }),
                words[1].utf8.allSatisfy({
                    (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                        || "+/=".utf8.contains($0)
                })
            else {
                throw CoveyError(
                    .invalid, "\"\(key.prefix(24))…\" is no public key of ssh",
                    remedy: "give a line such as ssh-ed25519 AAAA…")
            }
        }
    }

    private static let kinds = ["ssh-", "ecdsa-", "sk-"]
}
