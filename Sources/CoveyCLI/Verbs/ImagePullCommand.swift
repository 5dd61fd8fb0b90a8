internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey image pull`.
struct ImagePullCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetch an image from a registry or a catalog.",
        discussion: """
            References are written as for docker. Credentials are those of covey registry login, docker and podman.
            CATALOG/NAME is an entry of a catalog where the daemon's configuration names one so; `covey image catalog` \
            lists them.

            Example: covey image pull alpine:3.20
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "Its name here; the reference where it is left out.")
    var name: String?

    @Flag(name: .customLong("plain-http"), help: "Speak to the registry without TLS.")
    var plainHTTP = false

    @Flag(help: "Take an entry of a catalog that has no key, or over plain HTTP.")
    var insecure = false

    @Flag(name: .shortAndLong, help: "Do not wait.")
    var detach = false

    @Argument(help: "The image, such as debian:bookworm or registry.example.com/team/app:1.2.")
    var reference: String

    func perform() async throws -> Int32 {
        let parsed = try ImageReference(reference)
        let credentials = try await RegistryLogins().credentials(for: parsed)
        return try await global.connect { client in
            let asked =
                if insecure {
                    try await client.pullImage(CatalogReference(reference, insecure: true), name: name)
                } else {
                    try await client.pullImage(
                        reference, name: name, plainHTTP: plainHTTP, credentials: credentials)
                }
            if !detach { try await client.finishShowing(asked.operation, quiet: global.quiet) }
            let now = detach ? asked.image : try await client.image(asked.image.metadata.id.description)
            try global.printed.mutated(now, name: now.metadata.name)
            return 0
        }
    }
}

/// Fetches the image that a machine is to be made of, where it is not there.
struct MissingImage: Sendable {
    private static let builtHere = "debian"

    let name: String
    let quiet: Bool

    /// The image; nil for one that is built here and not there yet, and for a name that is no reference: the daemon
    /// says what to do. Errors: those of the pull.
    func fetch(_ client: CoveyClient) async throws -> Image? {
        if let image = try await present(client, name) { return image }
        let isBuilt =
            name == "busybox" || name == MissingImage.builtHere || name.hasPrefix(MissingImage.builtHere + ":")
        guard !isBuilt, let reference = try? ImageReference(name) else { return nil }
        if reference.familiar != name, let image = try await present(client, reference.familiar) { return image }
        let credentials = try await RegistryLogins().credentials(for: reference)
        let asked = try await client.pullImage(name, credentials: credentials)
        do {
            try await client.finishShowing(asked.operation, quiet: quiet)
        } catch let error as CoveyError where error.code == .unavailable {
            // Nobody knows whether it exists: it is not here, and its registry does not answer.
            throw CoveyError(
                .notFound, "image \(name) is not here, and could not be fetched",
                remedy: error.remedy.map { "covey image ls shows what is here; \($0)" }, cause: error)
        }
        return try await client.image(asked.image.metadata.id.description)
    }

    private func present(_ client: CoveyClient, _ name: String) async throws -> Image? {
        do {
            return try await client.image(name)
        } catch let error as CoveyError where error.code == .notFound {
            return nil
        }
    }
}
