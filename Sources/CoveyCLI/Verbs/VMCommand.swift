internal import ArgumentParser

/// `covey vm`.
struct VMCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vm", abstract: "Machines.", discussion: "Example: covey vm ls",
        subcommands: [
            VMCreateCommand.self, VMStartCommand.self, VMStopCommand.self, VMKillCommand.self, VMRestartCommand.self,
            VMRemoveCommand.self, VMListCommand.self, VMInspectCommand.self, VMWaitCommand.self,
            VMTimelineCommand.self, VMSetCommand.self, VMRenameCommand.self, VMPortsCommand.self, VMStatsCommand.self,
        ])
}
