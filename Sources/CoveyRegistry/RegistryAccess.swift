package import CoveyModel
internal import CoveySystem

/// What callers are known by at registries: kept for a pull, or tried once.
package struct RegistryAccess: Sendable {
    private let folder: CredentialFolder
    private let settings: RegistrySettings
    private let pool = BlockingPool("covey-access")

    /// Keeps credentials in a folder.
    package init(folder: String, settings: RegistrySettings = RegistrySettings()) {
        self.folder = CredentialFolder(folder)
        self.settings = settings
    }

    /// Keeps credentials until their pull has ended.
    package func keep(_ credentials: RegistryCredentials, as token: String) async throws {
        try await pool.run { @Sendable () throws in try folder.keep(credentials, as: token) }
    }

    /// Forgets some; idempotent.
    package func forget(_ token: String) async throws {
        try await pool.run { @Sendable () throws in try folder.forget(token) }
    }

    /// Forgets all but those of pulls that are still to come.
    package func sweep(keeping tokens: Set<String>) async throws {
        try await pool.run { @Sendable () throws in try folder.sweep(keeping: tokens) }
    }

    /// Asks a registry whether it takes credentials.
    ///
    /// Errors: ``ErrorCode/unauthenticated``, ``ErrorCode/unavailable``, ``ErrorCode/invalid`` for no registry's host.
    package func check(_ registry: String, plainHTTP: Bool, _ credentials: RegistryCredentials) async throws {
        // A reference below it says whether it is a registry's host at all.
        let host = try ImageReference("\(registry)/x").registry
        let files = try await pool.run { @Sendable () throws in try settings.authorities(for: host) }
        try await HTTPSession.with(limits: settings.transfer, trusting: files) { session in
            let endpoint = try RegistryRepository.endpoint(
                host, plainHTTP: plainHTTP, credentials: credentials, settings: settings, session: session)
            try await endpoint.check()
        }
    }
}
