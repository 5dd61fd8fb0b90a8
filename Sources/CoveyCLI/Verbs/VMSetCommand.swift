internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm set`.
struct VMSetCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Change what a machine reaches, publishes and may use.",
        discussion: """
            Policy, ports and limits change while it runs; its networks while it is stopped.

            Example: covey vm set web --egress 'example.com:443' --publish 8080:80 --unpublish 9090
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "What it reaches outside: open, closed, RULE,… or network (what its networks say).")
    var egress: EgressChoice?

    @Option(
        name: [.customShort("p"), .long],
        help: "A port of the host that leads to it from now on, as [BIND:]HOST:GUEST[/udp], or ranges.")
    var publish: [PublishArgument] = []

    @Option(help: "A port of the host that does not any more, as [BIND:]HOST[/udp], or a range.")
    var unpublish: [UnpublishArgument] = []

    @Option(
        name: .customLong("network-limit"),
        help: "What each interface sends and receives in a second, as 10M[,burst=1M][,packets=N], or none.")
    var networkLimit: NetworkLimitArgument?

    @Option(
        name: .customLong("disk-limit"),
        help: "What each disk reads and writes in a second, as 50M[,burst=1M][,iops=N], or none.")
    var diskLimit: DiskLimitArgument?

    @Option(help: "Its networks in place of those it has, as NET[:ip=ADDRESS,ip6=ADDRESS,mac=MAC], or none.")
    var network: [NetworkArgument] = []

    @Flag(name: .customLong("dry-run"), help: "Only check it.")
    var dryRun = false

    @Argument(help: "The machine.")
    var vm: String

    func validate() throws {
        if try change().isEmpty {
            throw ValidationError(
                "say what to change: --egress, --publish, --unpublish, --network, --network-limit, --disk-limit")
        }
    }

    func change() throws -> MachineChange {
        var change = MachineChange()
        change.egress = egress
        change.publish = publish.flatMap(\.ports)
        change.unpublish = unpublish.flatMap(\.ports)
        change.networkLimit = networkLimit?.limit
        change.diskLimit = diskLimit?.limit
        change.networks = try network.networks()
        return change
    }

    func perform() async throws -> Int32 {
        let change = try change()
        return try await global.connect { client in
            let machine = try await client.updateMachine(vm, change, dryRun: dryRun)
            try global.printed.mutated(machine, name: machine.metadata.name)
            return 0
        }
    }
}
