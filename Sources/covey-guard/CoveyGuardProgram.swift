internal import CoveyGuard
internal import Glibc

@main
struct CoveyGuardProgram {
    static func main() { exit(GuardProgram.run(Array(CommandLine.arguments.dropFirst()))) }
}
