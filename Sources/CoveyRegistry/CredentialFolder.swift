package import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// Callers' credentials until their pulls have ended: a file each, for root alone. Its calls block.
package struct CredentialFolder: Sendable {
    private let path: String

    /// A folder that is made when the first comes.
    package init(_ path: String) { self.path = path }

    /// Keeps credentials under a token of letters and digits.
    package func keep(_ credentials: RegistryCredentials, as token: String) throws {
        let file = try file(token)
        try makeFolder(path)
        try writeFileAtomically(file, Array(try JSONEncoder().encode(credentials)), mode: 0o600)
    }

    /// What was kept under a token; nil where nothing is there.
    package func credentials(_ token: String) throws -> RegistryCredentials? {
        let file = try file(token)
        guard fileExists(file) else { return nil }
        return try JSONDecoder().decode(RegistryCredentials.self, from: Data(try readFile(file, limit: 1 << 20)))
    }

    /// Forgets what was kept under a token; idempotent.
    package func forget(_ token: String) throws { try removeFile(try file(token)) }

    /// Forgets all but some.
    package func sweep(keeping tokens: Set<String>) throws {
        guard fileExists(path) else { return }
        for name in try listFolder(path) where !tokens.contains(name) { try removeFile("\(path)/\(name)") }
    }

    private func file(_ token: String) throws(CoveyError) -> String {
        let valid =
            (1...128).contains(token.utf8.count)
            && token.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (97...122).contains(byte)
            }
        guard valid else { throw CoveyError(.internalError, "a token is not of letters and digits") }
        return "\(path)/\(token)"
    }
}
