package import ArgumentParser
internal import CoveyModel
internal import CoveySystem

/// The command line: parses, runs one verb and answers the exit code.
package enum CommandLineProgram {
    /// Verbs that another target adds, such as `daemon`.
    @TaskLocal static var extra: [any ParsableCommand.Type] = []
    /// What is done to a root whose daemon does not run; nil where this program cannot.
    @TaskLocal static var offline: OfflineActions?

    /// Runs the verb that the arguments name.
    ///
    /// - Parameters:
    ///   - arguments: Without the program's name.
    ///   - extra: Verbs beside those of this target.
    ///   - offline: What is done to a root whose daemon does not run.
    /// - Returns: The exit code of the command line's table.
    package static func run(
        arguments: [String], extra: [any ParsableCommand.Type] = [], offline: OfflineActions? = nil
    ) async -> Int32 {
        await $extra.withValue(extra) { await $offline.withValue(offline) { await run(arguments) } }
    }

    private static func run(_ arguments: [String]) async -> Int32 {
        do {
            var command = try RootCommand.parseAsRoot(arguments)
            if let verb = command as? any Verb { return await verb.execute() }
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return 0
        } catch let error as CoveyError {
            Standard.error(ErrorText.lines(error))
            return error.code.exitCode
        } catch let error as SystemError {
            Standard.error(ErrorText.lines(error.coveyError))
            return error.coveyError.code.exitCode
        } catch { return refused(error) }
    }

    /// What the parser says: help is an answer, anything else a usage error.
    private static func refused(_ error: any Error) -> Int32 {
        if let code = error as? ExitCode { return code.rawValue }
        let text = RootCommand.fullMessage(for: error)
        guard RootCommand.exitCode(for: error) != .success else {
            Standard.output(text.isEmpty ? "" : text + "\n")
            return 0
        }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: true).map { String($0) }
        var told = "error: \(RootCommand.message(for: error))\n"
        for line in lines {
            let trimmed = String(line.drop { $0 == " " })
            if trimmed.hasPrefix("See '") { told += "hint: see \(trimmed.dropFirst(4))\n" }
        }
        Standard.error(told)
        return 2
    }
}

/// `covey`.
struct RootCommand: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "covey", abstract: "Run microVMs as easily as processes.",
            discussion: "Example: covey run debian -- cat /etc/os-release", version: CoveyVersion.current,
            subcommands: [
                RunCommand.self, PsCommand.self, ExecCommand.self, AttachCommand.self, LogsCommand.self,
                ConsoleCommand.self, TopCommand.self,
                SSHCommand.self, SSHConfigCommand.self, SSHProxyCommand.self, SSHKnownHostsCommand.self,
                CopyCommand.self, PortForwardCommand.self, EventsCommand.self,
                VMCommand.self, ImageCommand.self, KernelCommand.self, VolumeCommand.self, NetworkCommand.self,
                RegistryCommand.self, NodeCommand.self,
                OperationCommand.self, SystemCommand.self, VersionCommand.self,
                ConfigCommand.self, DoctorCommand.self, CompletionCommand.self,
            ] + CommandLineProgram.extra)
    }
}
