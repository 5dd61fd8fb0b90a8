internal import CoveyModel
internal import CoveySystem

/// The Debian mirrors that the host's apt uses.
struct DebianMirrors {
    /// One repository of the host.
    struct Repository: Hashable {
        /// `bookworm`, `bookworm-security`.
        var release: String
        /// `http://deb.debian.org/debian/`.
        var uri: String
    }

    /// The host's repositories, in apt's order.
    let repositories: [Repository]

    /// Asks apt. A host without apt's lists has none.
    static func host() async throws -> DebianMirrors {
        let output: String
        do {
            output = try await Tool.aptGet.run(
                ["indextargets", "--format", "$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)", "Created-By: Packages"],
                limit: .seconds(60)
            ).text
        } catch let error as CoveyError where error.code == .failure || error.code == .unavailable {
            output = ""
        }
        return DebianMirrors(indexTargets: output)
    }

    /// Reads the answer of `apt-get indextargets`.
    init(indexTargets text: String) {
        var found: [Repository] = []
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 4, fields[0] == "Debian", fields[1] == "main",
                fields[3].hasPrefix("http://") || fields[3].hasPrefix("https://"),
                !fields[3].contains(where: \.isWhitespace)
            else { continue }
            let repository = Repository(release: fields[2], uri: fields[3])
            if !found.contains(repository) { found.append(repository) }
        }
        repositories = found
    }

    /// What mmdebstrap is told: the host's own repositories for its own suite, the host's mirror for another one,
    /// nothing (mmdebstrap's default, with the suite's updates) where the host has Debian's own.
    func sources(for suite: String) -> [String] {
        if repositories.contains(where: { $0.release == suite }) {
            let family = [suite, "\(suite)-updates", "\(suite)-security"]
            return repositories.filter { family.contains($0.release) }.map { "deb \($0.uri) \($0.release) main" }
        }
        let mirror = repositories.first { !$0.release.hasSuffix("-security") }
        guard let mirror, !mirror.uri.contains("//deb.debian.org/debian") else { return [] }
        return ["deb \(mirror.uri) \(suite) main"]
    }
}
