internal import ArgumentParser
internal import CoveyAPI
internal import CoveyModel

extension AddressBlock: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension IPv6Choice: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension EgressPolicy: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension EgressChoice: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

/// `NET[:ip=…,ip6=…,mac=…]`, or `none`.
struct NetworkArgument: ExpressibleByArgument, Sendable {
    /// Nil is none.
    let attachment: NetworkAttachment?

    init?(argument: String) {
        if argument == "none" {
            attachment = nil
            return
        }
        guard let read = NetworkAttachment(argument) else { return nil }
        attachment = read
    }
}

extension [NetworkArgument] {
    /// The networks; nil where nothing is said, empty for `none`. Errors: `none` beside others.
    func networks() throws -> [NetworkAttachment]? {
        let named = compactMap(\.attachment)
        guard named.isEmpty || named.count == count else {
            throw ValidationError("--network none stands alone")
        }
        return isEmpty ? nil : named
    }
}

/// `[BIND:]HOST:GUEST[/udp]`, where both may be ranges.
struct PublishArgument: ExpressibleByArgument, Sendable {
    let ports: [PublishedPort]

    init?(argument: String) {
        guard let ports = PublishedPort.list(argument) else { return nil }
        self.ports = ports
    }
}

/// `[BIND:]HOST[/udp]`, where HOST may be a range.
struct UnpublishArgument: ExpressibleByArgument, Sendable {
    let ports: [HostPort]

    init?(argument: String) {
        guard let ports = HostPort.list(argument) else { return nil }
        self.ports = ports
    }
}

/// A bound on what an interface passes: `10M[,burst=1M][,packets=N]`, or `none`.
struct NetworkLimitArgument: ExpressibleByArgument, Sendable {
    /// One without any bound is none.
    let limit: TrafficLimit

    init?(argument: String) {
        guard let limit = argument == "none" ? TrafficLimit() : TrafficLimit(argument, operations: "packets") else {
            return nil
        }
        self.limit = limit
    }
}

/// A bound on what a disk passes: `50M[,burst=1M][,iops=N]`, or `none`.
struct DiskLimitArgument: ExpressibleByArgument, Sendable {
    /// One without any bound is none.
    let limit: TrafficLimit

    init?(argument: String) {
        guard let limit = argument == "none" ? TrafficLimit() : TrafficLimit(argument, operations: "iops") else {
            return nil
        }
        self.limit = limit
    }
}

/// What `run` and `vm create` say of a machine's networks.
struct MachineNetworkOptions: ParsableArguments, Sendable {
    @Option(help: "A network, as NET[:ip=ADDRESS,ip6=ADDRESS,mac=MAC], or none; default where it is left out.")
    var network: [NetworkArgument] = []

    @Option(
        name: [.customShort("p"), .long],
        help: "A port of the host that leads to it, as [BIND:]HOST:GUEST[/udp], or ranges; loopback without BIND.")
    var publish: [PublishArgument] = []

    @Option(help: "What it reaches outside: open, closed or RULE,… (HOST[:PORT], *.DOMAIN, CIDR[:PORT][/udp]).")
    var egress: EgressPolicy?

    @Option(
        name: .customLong("network-limit"),
        help: "What each interface sends and receives in a second, as 10M[,burst=1M][,packets=N].")
    var networkLimit: NetworkLimitArgument?

    @Option(
        name: .customLong("disk-limit"),
        help: "What each disk reads and writes in a second, as 50M[,burst=1M][,iops=N].")
    var diskLimit: DiskLimitArgument?

    func validate() throws { _ = try network.networks() }

    /// Puts them into a request.
    func apply(to request: inout MachineRequest) throws {
        request.networks = try network.networks()
        request.ports = publish.flatMap(\.ports)
        request.egress = egress
        request.networkLimit = networkLimit.flatMap { $0.limit == TrafficLimit() ? nil : $0.limit }
        request.diskLimit = diskLimit.flatMap { $0.limit == TrafficLimit() ? nil : $0.limit }
    }
}
