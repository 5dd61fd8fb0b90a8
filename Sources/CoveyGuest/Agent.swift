internal import CCovey
internal import CoveyArchive
internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The whole agent, as the first program of a machine.
package enum Agent {
    /// Boots the machine and serves its host; returns only where that is impossible.
    package static func main() -> Int32 {
        if CommandLine.arguments.count > 1, CommandLine.arguments[1] == GuestStreamRequest.copyProgram {
            covey_ignore_broken_pipes()
            covey_raise_descriptor_limit()
            return CopyProgram.run(CommandLine.arguments.dropFirst(2))
        }
        guard getpid() == 1 else {
            agentLog("this program is a machine's first process and does nothing elsewhere")
            return 2
        }
        covey_ignore_broken_pipes()
        covey_raise_descriptor_limit()
        let boot = MachineBoot.run()
        let hello = GuestHello(
            abilities: abilities, agentVersion: CoveyVersion.current, bootID: MachineBoot.bootID,
            kernelRelease: MachineBoot.kernelRelease, timings: boot.timings, problem: boot.problem)
        do throws(SystemError) {
            try serve(hello, besideInit: nil)
        } catch {
            agentLog("\(error)")
        }
        // Without its channel the machine is of no use to anybody.
        sync()
        _ = covey_end_machine(0)
        return 1
    }

    /// Serves again where an agent beside an image's own init was killed: nothing is known of what that one started.
    static func takeOver(_ configuration: GuestConfiguration) {
        let hello = GuestHello(
            abilities: abilities, agentVersion: CoveyVersion.current, bootID: MachineBoot.bootID,
            kernelRelease: MachineBoot.kernelRelease, configured: true, ready: true)
        do throws(SystemError) {
            try serve(hello, besideInit: configuration)
        } catch {
            agentLog("\(error)")
        }
    }

    private static let abilities: GuestAbilities = [
        .exec, .terminal, .clock, .shutdown, .imageInit, .mounts, .network, .figures,
        .certificates, .readiness, .copy, .dial, .shell,
    ]

    private static func serve(_ hello: GuestHello, besideInit: GuestConfiguration?) throws(SystemError) {
        let loop = try EventLoop()
        let duties = MachineInit(loop: loop, besideInit: besideInit)
        let server = try AgentServer(
            loop: loop, link: try MachineBoot.openChannel(), hello: hello, duties: duties, configured: besideInit)
        duties.server = server
        try duties.begin()
        try server.begin()
        try loop.run()
    }
}
