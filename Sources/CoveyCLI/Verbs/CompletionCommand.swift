internal import ArgumentParser
internal import CoveyModel

/// A shell that completions are made for.
enum Shell: String, ExpressibleByArgument, CaseIterable, Sendable {
    case bash, zsh, fish

    var parser: CompletionShell {
        switch self {
        case .bash: .bash
        case .zsh: .zsh
        case .fish: .fish
        }
    }
}

/// `covey completion`.
struct CompletionCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "completion", abstract: "Print the completions of a shell.",
        discussion: "Example: covey completion bash > /etc/bash_completion.d/covey")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func perform() async throws -> Int32 {
        Standard.output(RootCommand.completionScript(for: shell.parser))
        return 0
    }
}
