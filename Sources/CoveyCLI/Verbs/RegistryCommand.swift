internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey registry`.
struct RegistryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registry", abstract: "Registries of images.",
        discussion: "Example: covey registry login registry.example.com -u ann --password-stdin",
        subcommands: [RegistryLoginCommand.self, RegistryLogoutCommand.self])
}

/// `covey registry login`.
struct RegistryLoginCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "login", abstract: "Log in to a registry.",
        discussion: """
            The registry is asked first. The credentials are written where docker or podman look for them too.

            Example: covey registry login registry.example.com -u ann --password-stdin < password
            """)

    @OptionGroup var global: GlobalOptions

    @Option(name: .shortAndLong, help: "The user.")
    var user: String?

    @Flag(name: .customLong("password-stdin"), help: "Read the password from standard input.")
    var passwordFromInput = false

    @Flag(name: .customLong("plain-http"), help: "Speak to the registry without TLS.")
    var plainHTTP = false

    @Argument(help: "The registry's host; docker.io where it is left out.")
    var registry = "docker.io"

    func perform() async throws -> Int32 {
        let host = try RegistryHost(registry).name
        guard let user = try user ?? ask("User: ", hidden: false), !user.isEmpty, !user.contains(":") else {
            throw ValidationError("give the user with -u")
        }
        let typed = passwordFromInput ? try firstLine() : try ask("Password: ", hidden: true)
        guard let password = typed, !password.isEmpty else {
            throw ValidationError("give the password on standard input with --password-stdin")
        }
        let credentials = RegistryCredentials(user: user, password: password)
        try await global.connect { client in
            try await client.checkLogin(registry: host, plainHTTP: plainHTTP, credentials)
        }
        let file = try await RegistryLogins().save(host, credentials)
        if !global.quiet { Standard.error("covey: the login is kept in \(file)\n") }
        Standard.output("\(host)\n")
        return 0
    }

    private func firstLine() throws -> String? {
        var bytes: [UInt8] = []
        while bytes.count < 1 << 16, let part = try readSome(STDIN_FILENO), !part.isEmpty { bytes += part }
        return bytes.split(separator: 10, omittingEmptySubsequences: false).first.map {
            var line = String(decoding: $0, as: UTF8.self)
            if line.hasSuffix("\r") { line.removeLast() }
            return line
        }
    }

    /// Asks on the terminal; nil where there is none.
    private func ask(_ prompt: String, hidden: Bool) throws -> String? {
        guard isatty(STDIN_FILENO) == 1 else { return nil }
        Standard.error(prompt)
        var settings = termios()
        try check("tcgetattr") { tcgetattr(STDIN_FILENO, &settings) }
        let before = settings
        if hidden {
            settings.c_lflag &= ~tcflag_t(ECHO)
            try check("tcsetattr") { tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings) }
        }
        defer {
            var old = before
            if hidden {
                _ = tcsetattr(STDIN_FILENO, TCSAFLUSH, &old)
                Standard.error("\n")
            }
        }
        return readLine()
    }
}

/// `covey registry logout`.
struct RegistryLogoutCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "logout", abstract: "Forget the login of a registry.",
        discussion: "Example: covey registry logout registry.example.com")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The registry's host; docker.io where it is left out.")
    var registry = "docker.io"

    func perform() async throws -> Int32 {
        let host = try RegistryHost(registry).name
        guard try await RegistryLogins().remove(host) else {
            throw CoveyError.notFound("login", host, remedy: "there is nothing to forget")
        }
        Standard.output("\(host)\n")
        return 0
    }
}

/// A registry's host as a user writes it.
struct RegistryHost {
    let name: String

    /// Errors: ``ErrorCode/invalid``.
    init(_ text: String) throws(CoveyError) {
        let valid = try? ImageReference("\(text)/x/y").registry
        guard let valid, valid == text || text == "index.docker.io" else {
            throw CoveyError(
                .invalid, "\"\(text)\" is no host of a registry",
                remedy: "write it without https:// and path: registry.example.com, localhost:5000")
        }
        name = valid
    }
}
