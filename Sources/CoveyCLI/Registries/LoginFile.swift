internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// A file of registry logins, as docker and podman keep them. Its calls block.
///
/// Sources: docker, `config.json`; containers-auth.json(5).
struct LoginFile: Sendable {
    /// What a file says of a registry.
    enum Entry: Hashable, Sendable {
        case credentials(RegistryCredentials)
        /// A program `docker-credential-NAME` knows them, under a server's name.
        case helper(String, server: String)
    }

    private static let dockerServer = "https://index.docker.io/v1/"

    let path: String
    private var content: [String: JSONValue]

    /// Reads a file; one that is not there is empty. Errors: ``ErrorCode/corrupt``.
    init(_ path: String) throws {
        self.path = path
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path, limit: 4 << 20) } catch {
            guard error.isErrno(ENOENT) || error.isErrno(ENOTDIR) else { throw error.coveyError }
            content = [:]
            return
        }
        guard !bytes.allSatisfy({ $0 <= 32 }) else {
            content = [:]
            return
        }
        do {
            content = try JSONDecoder().decode([String: JSONValue].self, from: Data(bytes))
        } catch {
            throw CoveyError(.corrupt, "\(path) cannot be read", remedy: "repair it, or move it away", cause: nil)
        }
    }

    /// What it says of a registry's repository; nil for nothing.
    func entry(_ registry: String, _ repository: String) -> Entry? {
        let keys = LoginFile.keys(registry, repository)
        if case .object(let helpers)? = content["credHelpers"] {
            for key in keys {
                if let name = helpers[key]?.text { return .helper(name, server: key) }
            }
        }
        if case .object(let auths)? = content["auths"] {
            let named = Dictionary(auths.map { (LoginFile.host($0.key), $0.value) }) { first, _ in first }
            for key in keys {
                guard let auth = auths[key] ?? named[key], let found = LoginFile.credentials(auth) else { continue }
                return .credentials(found)
            }
        }
        guard let store = content["credsStore"]?.text, !store.isEmpty else { return nil }
        return .helper(store, server: registry == "docker.io" ? LoginFile.dockerServer : registry)
    }

    /// Adds or replaces a registry's credentials.
    mutating func set(_ registry: String, _ credentials: RegistryCredentials) {
        var auths: [String: JSONValue] = [:]
        if case .object(let there)? = content["auths"] { auths = there }
        let text = Data("\(credentials.user):\(credentials.password)".utf8).base64EncodedString()
        auths[LoginFile.key(registry)] = ["auth": .string(text)]
        content["auths"] = .object(auths)
    }

    /// Removes a registry's credentials. Returns whether there were any.
    mutating func remove(_ registry: String) -> Bool {
        guard case .object(var auths)? = content["auths"] else { return false }
        let gone = auths.keys.filter { LoginFile.host($0) == registry || $0 == LoginFile.key(registry) }
        for key in gone { auths[key] = nil }
        content["auths"] = .object(auths)
        return !gone.isEmpty
    }

    /// Writes the file, for its owner alone.
    func write() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try makeFolder(parentFolder(path))
        try writeFileAtomically(path, Array(try encoder.encode(content)) + [10], mode: 0o600)
    }

    private static func key(_ registry: String) -> String { registry == "docker.io" ? dockerServer : registry }

    /// The host that a key of `auths` names: docker writes some of them as URLs.
    private static func host(_ key: String) -> String {
        var rest = key[...]
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        let isURL = rest.count != key.count
        if isURL, let slash = rest.firstIndex(of: "/") { rest = rest[..<slash] }
        return rest == "index.docker.io" || rest == "registry-1.docker.io" ? "docker.io" : String(rest)
    }

    /// The keys that may name a repository, the most special first: `quay.io/team/app`, `quay.io/team`, `quay.io`.
    private static func keys(_ registry: String, _ repository: String) -> [String] {
        var keys: [String] = []
        var path = repository.split(separator: "/")
        while !path.isEmpty {
            keys.append("\(registry)/\(path.joined(separator: "/"))")
            path.removeLast()
        }
        keys.append(registry)
        if registry == "docker.io" { keys += [dockerServer, "index.docker.io"] }
        return keys
    }

    private static func credentials(_ value: JSONValue) -> RegistryCredentials? {
        let token = value["identitytoken"]?.text.flatMap { $0.isEmpty ? nil : $0 }
        var (user, password) = (value["username"]?.text ?? "", value["password"]?.text ?? "")
        if let auth = value["auth"]?.text, let data = Data(base64Encoded: auth) {
            let text = String(decoding: data, as: UTF8.self)
            guard let colon = text.firstIndex(of: ":") else { return nil }
            user = String(text[..<colon])
            password = String(text[text.index(after: colon)...]).filter { $0 != "\0" }
        }
        guard token != nil || !user.isEmpty else { return nil }
        return RegistryCredentials(user: user, password: password, identityToken: token)
    }
}
