internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey logs`.
struct LogsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Print the output of a machine's program or its console.",
        discussion: """
            With -f it goes on over restarts of the machine, and ends when the machine has ended for good.

            Example: covey logs -f --since 10m web
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Go on with what comes.")
    var follow = false

    @Option(help: "Nothing older than this, such as 10m.")
    var since: DurationArgument?

    @Option(help: "Only so many of the newest lines of what is there.")
    var tail: Int?

    @Flag(help: "The serial console.")
    var console = false

    @Argument(help: "The machine, or VM/EXEC for a program of exec.")
    var target: ExecReference

    func validate() throws {
        if let tail, tail < 0 { throw ValidationError("--tail is a number of lines") }
    }

    func perform() async throws -> Int32 {
        let now = wallClockTime().milliseconds
        let since = since.map { Timestamp(milliseconds: now - $0.duration.wholeMilliseconds) }
        let streams = try StandardStreams()
        return try await global.connect { client in
            try await client.logs(
                target.machine, exec: target.exec, console: console, follow: follow, since: since,
                tail: tail
            ) { chunk in
                let descriptor = chunk.stream == .stderr ? STDERR_FILENO : STDOUT_FILENO
                try await streams.write(descriptor, chunk.bytes)
            }
            return 0
        }
    }
}
