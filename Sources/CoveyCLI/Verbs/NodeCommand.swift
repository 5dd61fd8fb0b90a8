internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey node`.
struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "The hosts whose daemons keep their state in one store.",
        discussion: "Example: covey node ls", subcommands: [NodeListCommand.self, NodeInspectCommand.self])
}

/// `covey node ls`.
struct NodeListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List nodes.",
        discussion: """
            Ready are those whose daemons have given a sign in the last seconds.

            Example: covey node ls
            """, aliases: ["list"])

    @OptionGroup var global: GlobalOptions

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<Node>] = [
                Column("NAME") { $0.metadata.name },
                Column("STATE") { $0.isReady ? "ready" : "silent" },
                Column("CPUS") { String($0.status.cpus) },
                Column("MEMORY") { $0.status.memory.rounded },
                Column("INSTANCE") { "\($0.status.instance)" },
                Column("VERSION") { $0.status.version },
            ]
            try global.printed.list(try await client.listNodes(), columns) { $0.metadata.name }
            return 0
        }
    }
}

/// `covey node inspect`.
struct NodeInspectCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print all that is known of a node.",
        discussion: "Example: covey node inspect berlin-1")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The node.")
    var node: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let nodes = try await client.listNodes()
            guard let found = nodes.first(where: { $0.metadata.name == node || "\($0.metadata.id)" == node }) else {
                throw CoveyError.notFound("node", node, remedy: "covey node ls lists them")
            }
            try global.printed.object(found, name: found.metadata.name)
            return 0
        }
    }
}

extension Node {
    /// Whether its daemon has given a sign of late.
    fileprivate var isReady: Bool { status.conditions.contains { $0.type == "Ready" && $0.state == .yes } }
}
