internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// What `covey version` prints.
private struct Versions: Encodable {
    var client: String
    var daemon: DaemonVersion?
}

/// `covey version`.
struct VersionCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the versions of this program and of the daemon.",
        discussion: "Example: covey version -o json")

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Do not ask the daemon.")
    var client = false

    func perform() async throws -> Int32 {
        var versions = Versions(client: CoveyVersion.current)
        var missing: CoveyError?
        if !client {
            do {
                versions.daemon = try await global.connect { try await $0.version() }
            } catch let error as CoveyError where error.code == .unavailable {
                // The program's own version is an answer, too.
                missing = error
            }
        }
        guard global.printed.format == .table else {
            try global.printed.object(versions, name: versions.client)
            return 0
        }
        var text = "covey \(versions.client)\n"
        if let daemon = versions.daemon {
            let commit = daemon.commit.map { " (\($0))" } ?? ""
            text += "daemon \(daemon.version)\(commit), instance \(daemon.instance)\n"
        }
        Standard.output(text)
        if let missing { Standard.error("covey: \(missing.message)\n") }
        return 0
    }
}
