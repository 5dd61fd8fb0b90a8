internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey port-forward`.
struct PortForwardCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "port-forward", abstract: "Reach ports of a machine through ports of this host.",
        discussion: """
            Needs no network: connections go through the guest agent to 127.0.0.1 of the machine, then to ::1. \
            A rule is [BIND:]LOCAL:REMOTE; LOCAL 0 is any port that is free, and REMOTE may be the path of a Unix \
            socket. Ends with Ctrl-C.

            Example: covey port-forward web 8080:80
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The machine.")
    var vm: String

    @Argument(help: "What leads where: [BIND:]LOCAL:REMOTE.")
    var rules: [ForwardRule]

    func perform() async throws -> Int32 {
        return try await global.connect { client in
            _ = try await client.machine(vm)
            let forwarding = Forwarding(client: client, machine: vm, reactor: try Reactor())
            let listeners = try rules.map { try forwarding.listen($0) }
            for listener in listeners { Standard.output("\(listener.endpoint) -> \(vm):\(listener.remote)\n") }
            let signals = SignalStream([SIGINT, SIGTERM])
            defer { signals.stop() }
            return try await withThrowingTaskGroup(of: Bool.self) { group in
                for listener in listeners {
                    group.addTask {
                        try await forwarding.serve(listener)
                        return false
                    }
                }
                group.addTask {
                    for await _ in signals.signals { return true }
                    return true
                }
                defer { group.cancelAll() }
                while let isAsked = try await group.next() { if isAsked { break } }
                return ErrorCode.cancelled.exitCode
            }
        }
    }
}
