internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm wait`.
struct VMWaitCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "wait",
        abstract: "Wait until a machine is running, ready, stopped or deleted, or its program ended.",
        discussion: """
            With --for exit the exit code of the machine's program is printed, and is this command's own.

            Example: covey vm wait web --for stopped --timeout 10m
            """)

    @OptionGroup var global: GlobalOptions

    @Option(name: .customLong("for"), help: "What to wait for: running, ready, stopped, exit or deleted.")
    var goal: WaitGoal

    @Option(help: "How long to wait, such as 90s.")
    var timeout: DurationArgument?

    @Argument(help: "The machine.")
    var vm: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            guard let machine = try await MachineWait(goal: goal, limit: timeout?.duration).wait(client, vm) else {
                if global.printed.format != .json && global.printed.format != .yaml { Standard.output(vm + "\n") }
                return 0
            }
            guard goal == .exit, let code = machine.status.exitCode else {
                try global.printed.mutated(machine, name: machine.metadata.name)
                return 0
            }
            if global.printed.format == .table {
                Standard.output("\(code)\n")
            } else {
                try global.printed.mutated(machine, name: machine.metadata.name)
            }
            return code
        }
    }
}
