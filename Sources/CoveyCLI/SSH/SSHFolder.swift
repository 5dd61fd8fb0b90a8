internal import CoveyModel
internal import CoveySystem
internal import Crypto
internal import Glibc

/// What the command line keeps for ssh: a folder of the user's own, with a key that is for machines alone.
struct SSHFolder: Sendable {
    /// `~/.config/covey/ssh`.
    let path: String

    /// The user's folder. Errors: ``ErrorCode/failure`` for a user without a home.
    static func ofUser() throws(CoveyError) -> SSHFolder {
        if let folder = ProcessEnvironment["XDG_CONFIG_HOME"], folder.hasPrefix("/") {
            return SSHFolder(path: "\(folder)/covey/ssh")
        }
        return SSHFolder(path: "\(try home())/.config/covey/ssh")
    }

    /// The user's home as ssh knows it: the account's, whatever `HOME` says. Blocks.
    static func home() throws(CoveyError) -> String {
        // Not thread-safe, and called from one.
        guard let account = getpwuid(getuid()), let folder = account.pointee.pw_dir, folder.pointee != 0 else {
            throw CoveyError(.failure, "this user has no home", remedy: "set XDG_CONFIG_HOME")
        }
        return String(cString: folder)
    }

    /// The configuration for ssh.
    var configuration: String { "\(path)/config" }
    /// The private key.
    var key: String { "\(path)/id_ed25519" }

    /// The public half of the user's key, which is made where there is none. Blocks.
    func publicKey() throws -> String {
        let half = "\(key).pub"
        do throws(SystemError) { return try line(of: half) } catch {
            guard error.isErrno(ENOENT) else { throw error }
        }
        try makeFolder(path, mode: 0o700)
        let secret = Curve25519.Signing.PrivateKey()
        let pair = SSHKeyPair(
            seed: Array(secret.rawRepresentation), publicKey: Array(secret.publicKey.rawRepresentation),
            check: .random(in: .min ... .max), comment: "covey")
        // Of two at once the first one's counts; a private half without its public one was never used.
        let new = "\(key).\(getpid()).\(UInt32.random(in: .min ... .max))"
        try writeFileAtomically(new, Array(pair.privateText.utf8), mode: 0o600)
        defer { _ = unlink(new) }
        let lock = try openFile("\(path)/.lock", [.readWrite, .create], mode: 0o600)
        try check("flock", path) { flock(lock.raw, LOCK_EX) }
        do throws(SystemError) { return try line(of: half) } catch {
            guard error.isErrno(ENOENT) else { throw error }
        }
        try check("rename", key) { rename(new, key) }
        try writeFileAtomically(half, Array("\(pair.publicLine) covey\n".utf8), mode: 0o644)
        return "\(pair.publicLine) covey"
    }

    private func line(of path: String) throws(SystemError) -> String { try readText(path).trimmed }
}

extension String {
    fileprivate var trimmed: String {
        var rest = self[...]
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return String(rest)
    }
}
