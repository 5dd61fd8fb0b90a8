internal import CBuild
internal import CoveyCLI
internal import Glibc

@main
struct CoveyProgram {
    /// The commit that the program was built from; nil where the build did not know.
    static var commit: String? {
        let text = String(cString: covey_commit())
        return text.isEmpty ? nil : text
    }

    static func main() async {
        // A peer that is gone is an error of the call, not the end of the program.
        signal(SIGPIPE, SIG_IGN)
        let arguments = Array(CommandLine.arguments.dropFirst())
        exit(
            await CommandLineProgram.run(
                arguments: arguments, extra: [DaemonCommand.self], offline: OfflineProgram.actions))
    }
}
