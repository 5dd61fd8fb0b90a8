internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What this user is known by at registries.
struct RegistryLogins: Sendable {
    private let environment: @Sendable (String) -> String?
    private let pool = BlockingPool("covey-logins")

    /// Logins that an environment leads to.
    init(environment: @escaping @Sendable (String) -> String? = { ProcessEnvironment[$0] }) {
        self.environment = environment
    }

    /// The files that are looked into, in this order. Source: containers-auth.json(5).
    var files: [String] {
        if let named = value("REGISTRY_AUTH_FILE") { return [named] }
        var files: [String] = []
        if let runtime = value("XDG_RUNTIME_DIR") { files.append("\(runtime)/containers/auth.json") }
        files.append("/run/containers/\(getuid())/auth.json")
        if let home = value("HOME") {
            files.append("\(value("XDG_CONFIG_HOME") ?? "\(home)/.config")/containers/auth.json")
        }
        if let docker { files.append(docker) }
        return files
    }

    /// The file that a login is written to.
    func target() throws(CoveyError) -> String {
        if let named = value("REGISTRY_AUTH_FILE") { return named }
        if let runtime = value("XDG_RUNTIME_DIR") { return "\(runtime)/containers/auth.json" }
        guard let docker else {
            throw CoveyError(.invalid, "there is no folder for logins", remedy: "set HOME or REGISTRY_AUTH_FILE")
        }
        return docker
    }

    private var docker: String? {
        if let folder = value("DOCKER_CONFIG") { return "\(folder)/config.json" }
        return value("HOME").map { "\($0)/.docker/config.json" }
    }

    private func value(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }

    /// The credentials for an image; nil for none. Errors: a file that cannot be read, a helper that fails.
    func credentials(for reference: ImageReference) async throws -> RegistryCredentials? {
        let files = files
        let entry = try await pool.run { () throws -> LoginFile.Entry? in
            for file in files {
                if let entry = try LoginFile(file).entry(reference.registry, reference.repository) { return entry }
            }
            return nil
        }
        switch entry {
        case nil: return nil
        case .credentials(let credentials): return credentials
        case .helper(let name, let server): return try await CredentialHelper(name: name).credentials(server)
        }
    }

    /// Writes credentials down. Returns the file.
    func save(_ registry: String, _ credentials: RegistryCredentials) async throws -> String {
        let path = try target()
        try await pool.run { () throws in
            var file = try LoginFile(path)
            file.set(registry, credentials)
            try file.write()
        }
        return path
    }

    /// Removes credentials from all files. Returns whether there were any.
    func remove(_ registry: String) async throws -> Bool {
        let files = files
        return try await pool.run { () throws -> Bool in
            var found = false
            for path in files where fileExists(path) {
                var file = try LoginFile(path)
                guard file.remove(registry) else { continue }
                try file.write()
                found = true
            }
            return found
        }
    }
}
