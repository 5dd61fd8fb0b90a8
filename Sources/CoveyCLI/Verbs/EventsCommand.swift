internal import ArgumentParser
internal import CoveyAPI
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem

extension EventReason: ExpressibleByArgument {}

/// `covey events`.
struct EventsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "What happened, of the last 24 hours.",
        discussion: """
            Repetitions of the same are one event with a count. With -f and -o json each event is one object.

            Example: covey events -f --vm web
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Go on with what comes.")
    var follow = false

    @Option(help: "Nothing older than this, such as 10m.")
    var since: DurationArgument?

    @Option(help: "Of this machine only.")
    var vm: String?

    @Option(help: "For this reason only, such as crashed (repeat).")
    var reason: [EventReason] = []

    private static var columns: [Column<Event>] {
        [
            Column("LAST") { String($0.lastSeen.description.prefix(19)) + "Z" },
            Column("TARGET") { $0.target.description },
            Column("REASON") { $0.reason.rawValue },
            Column("COUNT") { "\($0.count)" },
            Column("MESSAGE") { $0.message },
        ]
    }

    func perform() async throws -> Int32 {
        let now = wallClockTime().milliseconds
        let filter = EventFilter(
            machine: vm, since: since.map { Timestamp(milliseconds: now - $0.duration.wholeMilliseconds) },
            reasons: reason)
        return try await global.connect { client in
            guard follow else {
                try global.printed.list(try await client.listEvents(filter), EventsCommand.columns) {
                    $0.metadata.id.description
                }
                return 0
            }
            try await client.watchEvents(filter) { event in
                switch global.printed.format {
                case .table:
                    Standard.output(EventsCommand.columns.map { $0.cell(event) }.joined(separator: "  ") + "\n")
                case .json: Standard.output(try ModelPrinter.object(event, .json))
                case .yaml: Standard.output("---\n" + (try ModelPrinter.object(event, .yaml)))
                case .name: Standard.output(event.metadata.id.description + "\n")
                }
            }
            return 0
        }
    }
}
