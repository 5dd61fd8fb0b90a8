internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey operation`.
struct OperationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operation", abstract: "What was asked for, and how far it is.",
        discussion: "Example: covey operation ls",
        subcommands: [
            OperationListCommand.self, OperationInspectCommand.self, OperationWatchCommand.self,
            OperationCancelCommand.self,
        ])
}

/// `covey operation ls`.
struct OperationListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List operations, oldest first.", discussion: "Example: covey operation ls",
        aliases: ["list"])

    @OptionGroup var global: GlobalOptions

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<Operation>] = [
                Column("ID") { $0.metadata.id.description },
                Column("KIND") { $0.spec.kind.rawValue },
                Column("TARGET") { $0.spec.target.description },
                Column("STATE") { $0.status.state.rawValue },
                Column("CREATED") { String($0.metadata.createdAt.description.prefix(19)) + "Z" },
            ]
            try global.printed.list(try await client.listOperations(), columns) { $0.metadata.id.description }
            return 0
        }
    }
}

/// `covey operation inspect`.
struct OperationInspectCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print all that is known of an operation.",
        discussion: "Example: covey operation inspect -o json 0197a1b2")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The operation's id, or an unambiguous part of it.")
    var id: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let operation = try await client.operation(id)
            try global.printed.object(operation, name: operation.metadata.id.description)
            return 0
        }
    }
}

/// `covey operation watch`.
struct OperationWatchCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Wait until an operation is over, and show how far it is.",
        discussion: "Example: covey operation watch 0197a1b2")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The operation's id, or an unambiguous part of it.")
    var id: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let progress = Progress(quiet: global.quiet)
            let last = try await client.watchOperation(id) { progress.show($0) }
            progress.clear()
            try global.printed.object(last, name: last.metadata.id.description)
            if let error = last.status.error { throw error }
            return last.status.state == .cancelled ? ErrorCode.cancelled.exitCode : 0
        }
    }
}

/// `covey operation cancel`.
struct OperationCancelCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Take an operation back.",
        discussion: "Example: covey operation cancel 0197a1b2")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The operation's id, or an unambiguous part of it.")
    var id: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let operation = try await client.cancelOperation(id)
            try global.printed.mutated(operation, name: operation.metadata.id.description)
            return 0
        }
    }
}
