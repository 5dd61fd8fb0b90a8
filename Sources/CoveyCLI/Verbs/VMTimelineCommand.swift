internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm timeline`.
struct VMTimelineCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "timeline", abstract: "Show where the time of the last start went.",
        discussion: "Example: covey vm timeline web")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The machine.")
    var vm: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machine = try await client.machine(vm)
            let stages = machine.status.timeline
            switch global.printed.format {
            case .table: Standard.output(TimelineDrawing.text(stages))
            case .json, .yaml, .name: try global.printed.list(stages, []) { $0.stage }
            }
            return 0
        }
    }
}

/// Draws how long the stages of a start took, one behind the other.
enum TimelineDrawing {
    private static let width = 40

    static func text(_ stages: [TimelineStage]) -> String {
        let total = stages.reduce(0) { $0 + $1.milliseconds }
        guard total > 0 else { return "there was no start yet\n" }
        var table = Table("STAGE", "MS", "")
        var before: Int64 = 0
        for stage in stages {
            let start = Int(before * Int64(width) / total)
            before += stage.milliseconds
            let end = Int(before * Int64(width) / total)
            let length = stage.milliseconds > 0 ? max(1, end - start) : 0
            let bar = String(repeating: " ", count: min(start, width - 1)) + String(repeating: "█", count: length)
            table.rows.append([stage.stage, String(stage.milliseconds), bar])
        }
        table.rows.append(["total", String(total), ""])
        return table.text
    }
}
