import CoveyGuest
import Glibc

/// `covey-guest`: the first process of every machine.
@main
struct CoveyGuestProgram {
    static func main() { exit(Agent.main()) }
}
