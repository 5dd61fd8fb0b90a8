internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey top`.
struct TopCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Watch what machines use.",
        discussion: """
            In a terminal it goes on until q or Ctrl-C; elsewhere, and with another --output, it looks once. Rates are those \
            since the look before.

            Example: covey top
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "How long from one look to the next.")
    var interval: DurationArgument?

    @Argument(help: "The machines; all that run where none is named.")
    var vms: [String] = []

    func validate() throws {
        if let interval, interval.duration < .milliseconds(100) {
            throw ValidationError("--interval is at least 100ms")
        }
    }

    private var pause: Duration { interval?.duration ?? .seconds(1) }

    func perform() async throws -> Int32 {
        let isLive =
            global.printed.format == .table && Standard.isTerminal(STDOUT_FILENO) && Standard.isTerminal(STDIN_FILENO)
        return try await global.connect { client in
            guard isLive else { return try await once(client) }
            return try await live(client)
        }
    }

    private func once(_ client: CoveyClient) async throws -> Int32 {
        let before = try await client.figures(vms)
        guard global.printed.format == .table else {
            try global.printed.list(before, TopColumns.all(before: before)) { $0.name }
            return 0
        }
        // Rates take two looks, so far apart as the user asked for.
        try await Task.sleep(for: pause)
        let now = TopColumns.sorted(try await client.figures(vms), before: before)
        try global.printed.list(now, TopColumns.all(before: before)) { $0.name }
        return 0
    }

    private func live(_ client: CoveyClient) async throws -> Int32 {
        let session = try TerminalSession(DetachKeys.usual, try StandardStreams())
        do {
            // The other screen, without a cursor; both are taken back at the end.
            try await session.write(Array("\u{1B}[?1049h\u{1B}[?25l".utf8))
            let code = try await watch(client, session)
            session.end(undoing: true)
            return code
        } catch {
            session.end(undoing: true)
            throw error
        }
    }

    private func watch(_ client: CoveyClient, _ session: TerminalSession) async throws -> Int32 {
        try await withThrowingTaskGroup(of: Int32?.self) { group in
            group.addTask {
                var before = try await client.figures(vms)
                try await show(before, before: [], session)
                while true {
                    // What the user asked for: figures of so long a time.
                    try await Task.sleep(for: pause)
                    let now = try await client.figures(vms)
                    try await show(now, before: before, session)
                    before = now
                }
            }
            group.addTask {
                while true {
                    let keys = try await session.read()
                    if keys.contains(where: { [UInt8(ascii: "q"), UInt8(ascii: "Q"), 0x03, 0x04].contains($0) }) {
                        return 0
                    }
                }
            }
            group.addTask {
                try await session.hear()
                return nil
            }
            group.addTask {
                for await why in session.leaving { return why == .keys ? 0 : ErrorCode.cancelled.exitCode }
                return nil
            }
            defer { group.cancelAll() }
            while let end = try await group.next() {
                if let end { return end }
            }
            return 0
        }
    }

    private func show(_ uses: [MachineUse], before: [MachineUse], _ session: TerminalSession) async throws {
        let size = TerminalWindow.size ?? TerminalSize(columns: 80, rows: 24)
        let sorted = TopColumns.sorted(uses, before: before)
        let table = try Output(format: .table).text(sorted, TopColumns.all(before: before)) { $0.name }
        var lines = table.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        lines.insert("covey top   \(uses.count) \(uses.count == 1 ? "machine" : "machines")   q ends", at: 0)
        // Each line over the one before, without a blank screen in between.
        let shown = lines.prefix(max(1, size.rows - 1)).map { $0.prefix(size.columns) + "\u{1B}[K\r\n" }.joined()
        try await session.write(Array("\u{1B}[H\(shown)\u{1B}[J".utf8))
    }
}

/// How machines are listed by what they use now.
enum TopColumns {
    static func all(before: [MachineUse]) -> [Column<MachineUse>] {
        let earlier = earlier(before)
        func rate(_ value: @escaping (MachineFigures) -> UInt64) -> (MachineUse) -> String {
            { use in
                guard let now = use.figures, let then = earlier[use.id],
                    let rate = perSecond(value(now), since: value(then), now.at.since(then.at))
                else { return "-" }
                return "\(ByteCount(Int64(clamping: rate)).rounded)/s"
            }
        }
        return [
            Column("NAME") { $0.name },
            Column("CPU") { use in
                guard let now = use.figures, let then = earlier[use.id] else { return "-" }
                return UseColumns.share(now, since: then)
            },
            Column("MEMORY") { $0.figures.map { ByteCount(Int64(clamping: $0.memoryBytes)).rounded } ?? "-" },
            Column("GUEST MEMORY") { use in
                guard let used = use.figures?.guestMemoryUsed, let total = use.figures?.guestMemoryTotal else {
                    return "-"
                }
                return "\(ByteCount(Int64(clamping: used)).rounded) of \(ByteCount(Int64(clamping: total)).rounded)"
            },
            Column("DISK READ", rate { $0.diskReadBytes }),
            Column("WRITTEN", rate { $0.diskWrittenBytes }),
            Column("NET IN", rate { $0.receivedBytes }),
            Column("OUT", rate { $0.sentBytes }),
        ]
    }

    /// The busiest first; machines of which nothing is known come last, and equals by name.
    static func sorted(_ uses: [MachineUse], before: [MachineUse]) -> [MachineUse] {
        let earlier = earlier(before)
        func busy(_ use: MachineUse) -> UInt64 {
            guard let now = use.figures, let then = earlier[use.id] else { return 0 }
            // Tenths of a per cent: what is shown as equal is ordered by name.
            let wall = now.at.since(then.at).wholeMilliseconds
            guard wall > 0, now.cpuNanoseconds >= then.cpuNanoseconds else { return 0 }
            return (now.cpuNanoseconds - then.cpuNanoseconds) / UInt64(wall) / 1000
        }
        return uses.map { (busy($0), $0) }.sorted { ($1.0, $0.1.name) < ($0.0, $1.1.name) }.map(\.1)
    }

    /// What passes in a second; nil where the count began anew or no time has gone by.
    static func perSecond(_ now: UInt64, since then: UInt64, _ time: Duration) -> UInt64? {
        let wall = time.wholeMilliseconds
        guard wall > 0, now >= then else { return nil }
        let (thousandfold, overflow) = (now - then).multipliedReportingOverflow(by: 1000)
        return overflow ? nil : thousandfold / UInt64(wall)
    }

    private static func earlier(_ uses: [MachineUse]) -> [MachineID: MachineFigures] {
        Dictionary(uses.compactMap { use in use.figures.map { (use.id, $0) } }) { first, _ in first }
    }
}
