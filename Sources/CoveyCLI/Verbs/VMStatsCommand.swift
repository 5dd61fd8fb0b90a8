internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm stats`.
struct VMStatsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Show what machines use: CPU, memory, disk and network.",
        discussion: """
            Figures count from the machine's start; CPU is what was used within the last second. JSON has the figures as \
            they are, one document for each look.

            Example: covey vm stats --watch web
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Go on until Ctrl-C.")
    var watch = false

    @Option(help: "How long from one look to the next.")
    var interval: DurationArgument?

    @Argument(help: "The machines; all that run where none is named.")
    var vms: [String] = []

    func validate() throws {
        if let interval, interval.duration < .milliseconds(100) {
            throw ValidationError("--interval is at least 100ms")
        }
    }

    func perform() async throws -> Int32 {
        let pause = interval?.duration ?? .seconds(1)
        return try await global.connect { client in
            var before = try await client.figures(vms)
            // Only a table says what was used in a while: two looks tell.
            if global.printed.format != .table { try show(before, before: []) }
            guard watch || global.printed.format == .table else { return try code(before) }
            repeat {
                // What the user asked for: figures of so long a time.
                try await Task.sleep(for: pause)
                let now = try await client.figures(vms)
                if watch, Standard.isTerminal(1), global.printed.format == .table {
                    Standard.output("\u{1B}[H\u{1B}[2J")
                }
                try show(now, before: before)
                before = now
            } while watch
            return try code(before)
        }
    }

    private func show(_ uses: [MachineUse], before: [MachineUse]) throws {
        try global.printed.list(uses, UseColumns.all(before: before)) { $0.name }
        for use in uses where global.printed.format == .table {
            if let error = use.error { Standard.error("covey: vm \(use.name): \(error.message)\n") }
        }
    }

    /// A machine that was named and does not answer is a failure.
    private func code(_ uses: [MachineUse]) throws -> Int32 {
        guard !vms.isEmpty, let error = uses.compactMap(\.error).first else { return 0 }
        return error.code.exitCode
    }
}

/// How what machines use is listed.
enum UseColumns {
    static func all(before: [MachineUse]) -> [Column<MachineUse>] {
        let earlier = Dictionary(before.map { ($0.id, $0.figures) }) { first, _ in first }
        func cell(_ text: @escaping (MachineFigures) -> String) -> (MachineUse) -> String {
            { use in use.figures.map(text) ?? "-" }
        }
        return [
            Column("NAME") { $0.name },
            Column("CPU") { use in
                guard let now = use.figures, let then = earlier[use.id] ?? nil else { return "-" }
                return share(now, since: then)
            },
            Column("MEMORY", cell { bytes($0.memoryBytes) }),
            Column(
                "GUEST MEMORY",
                cell { figures in
                    guard let used = figures.guestMemoryUsed, let total = figures.guestMemoryTotal else { return "-" }
                    return "\(bytes(used)) of \(bytes(total))"
                }),
            Column("DISK READ", cell { bytes($0.diskReadBytes) }),
            Column("WRITTEN", cell { bytes($0.diskWrittenBytes) }),
            Column("NET IN", cell { bytes($0.receivedBytes) }),
            Column("OUT", cell { bytes($0.sentBytes) }),
            Column("DENIED", cell { "\($0.deniedPackets)" }),
        ]
    }

    /// What was used of one CPU between two looks, as `12.3%`.
    static func share(_ now: MachineFigures, since then: MachineFigures) -> String {
        let wall = now.at.since(then.at).wholeMilliseconds
        // A restart begins anew.
        guard wall > 0, now.cpuNanoseconds >= then.cpuNanoseconds else { return "-" }
        let tenths = (now.cpuNanoseconds - then.cpuNanoseconds) / UInt64(wall) / 1000
        return "\(tenths / 10).\(tenths % 10)%"
    }

    private static func bytes(_ count: UInt64) -> String { ByteCount(Int64(clamping: count)).rounded }
}
