import CoveyModel
import CoveyNetwork
import CoveySystem
import Glibc
import Testing

@testable import CoveyHostNetwork

/// A host of its own in a network namespace, with another namespace as everything outside, and an instance on it.
///
/// `up0` 192.0.2.1 and 2001:db8::1 leads to 192.0.2.2 and 2001:db8::2, which knows no other block of the host.
final class Host: Sendable {
    static let inside = "192.0.2.1"
    static let outside = "192.0.2.2"
    static let second = "192.0.2.3"
    static let inside6 = "2001:db8::1"
    static let outside6 = "2001:db8::2"

    let namespace: NetworkNamespace
    let world: NetworkNamespace
    let instance: InstanceID
    let folder: String
    let network: HostNetwork

    private init(sparePool: Int) async throws {
        namespace = try await NetworkNamespace.make()
        world = try await NetworkNamespace.make()
        instance = InstanceID(random: .random(in: .min ... .max))
        folder = "/tmp/cvy-hostnet-\(instance)"
        network = HostNetwork(instance: instance, folder: folder, sparePool: sparePool, namespace: namespace)
        try makeFolder(folder)
        try await joinWorld()
    }

    /// Runs a test on a fresh host; nothing is left of it.
    static func with(sparePool: Int = 0, _ body: @Sendable (Host) async throws -> Void) async throws {
        let host = try await Host(sparePool: sparePool)
        var failure: (any Error)?
        do { try await body(host) } catch { failure = error }
        await host.network.settle()
        try removeTree(host.folder)
        if let failure { throw failure }
    }

    /// Another daemon of the same root, as after a kill: it knows only what is on the host and in the folder.
    func restarted(sparePool: Int = 0) -> HostNetwork {
        HostNetwork(instance: instance, folder: folder, sparePool: sparePool, namespace: namespace)
    }

    var names: HostNames { HostNames(instance: instance) }

    private func joinWorld() async throws {
        let world = world
        try await namespace.run {
            var netlink = try NetlinkSocket()
            try netlink.perform(.newPair("up0", "out0", in: world.descriptor.raw), "up0")
            try netlink.setUp("lo")
            try HostSetting("net/ipv6/conf/up0/accept_dad").set("0")
            try netlink.setUp("up0", Host.inside, Host.inside6)
            try netlink.perform(.newRoute(by: Host.outside), "default route")
            try netlink.perform(.newRoute(by: Host.outside6), "default route")
        }
        try await world.run {
            var netlink = try NetlinkSocket()
            try netlink.setUp("lo")
            try netlink.setUp("out0", Host.outside, Host.outside6)
            try netlink.add(Host.second, to: "out0")
        }
    }

    /// A network of the host: `10.N.0.0/24` and `fd00:N::/64`.
    func makeNetwork(
        _ number: UInt32, isolated: Bool = true, reachesHost: Bool = false, egress: EgressPolicy = .open,
        version6: Bool = true
    ) throws -> HostedNetwork {
        let block = try #require(AddressBlock("10.\(number).0.0/24"))
        let block6 = version6 ? AddressBlock("fd00:\(number)::/64") : nil
        return HostedNetwork(
            id: .fresh(), tenant: "default", name: "net\(number)",
            spec: NetworkSpec(
                block: block, block6: block6, isolated: isolated, reachesHost: reachesHost, egress: egress))
    }

    /// The output of a program in the host's namespace.
    func output(_ name: String, _ arguments: [String], input: String = "") async throws -> String {
        let arguments = arguments
        return try await namespace.run {
            let output = try HostProgram(name: name, package: name).run(arguments, input: Array(input.utf8))
            guard output.isSuccess else { throw CoveyError(.failure, "\(name) \(arguments): \(output.errors)") }
            return String(decoding: output.text, as: UTF8.self)
        }
    }

    /// All links of the host.
    func links() async throws -> [HostLink] {
        try await namespace.run {
            var netlink = try NetlinkSocket()
            return try netlink.links()
        }
    }

    /// Applies a state, and demands that all of it is carried.
    func carry(_ networks: [HostedNetwork], _ interfaces: [HostedInterface] = []) async throws {
        let problems = try await network.apply(NetworkState(networks: networks, interfaces: interfaces))
        try #require(problems.isEmpty, "\(problems)")
    }
}

extension Identifier {
    /// An id with enough of chance.
    static func fresh() -> Identifier {
        Identifier(
            time: Timestamp(milliseconds: 1_700_000_000_000),
            random: (.random(in: .min ... .max), .random(in: .min ... .max)))
    }
}

extension HostedNetwork {
    /// An interface on it with the address that ends in `number`, owned by root.
    func makeInterface(
        _ number: UInt8, egress: EgressPolicy? = nil, ports: [String] = [], sends: TrafficLimit? = nil,
        receives: TrafficLimit? = nil
    ) throws -> HostedInterface {
        guard case .v4(let first) = spec.block.address else { throw CoveyError(.invalid, "a block of another version") }
        let address = IPv4Address(bits: first.bits | UInt32(number))
        var six: IPv6Address?
        if case .v6(let block) = spec.block6?.address { six = IPv6Address(high: block.high, low: UInt64(number)) }
        return HostedInterface(
            key: InterfaceKey(machine: .fresh(), index: 0), name: "\(name)-vm\(number)", tenant: tenant, network: id,
            mac: MACAddress(bits: 0x02_0000_0000_00 | UInt64(address.bits)), address: address, address6: six,
            owner: 0, egress: egress, ports: try ports.map { try #require(PublishedPort($0)) }, sends: sends,
            receives: receives)
    }
}

extension HostedInterface {
    /// The same with another policy.
    func with(egress: EgressPolicy?) -> HostedInterface {
        var interface = self
        interface.egress = egress
        return interface
    }
}

extension NetlinkSocket {
    mutating func setUp(_ name: String, _ addresses: String...) throws {
        try perform(.change(name: name, LinkChange(isUp: true)), name)
        for address in addresses { try add(address, to: name) }
    }

    mutating func add(_ text: String, to name: String) throws {
        let address = try #require(IPAddress(text))
        let length = address.isVersion6 ? 64 : 24
        let wanted = HostAddress(link: Int32(if_nametoindex(name)), address: address, length: length)
        try perform(wanted.adding, text)
    }
}

extension NetlinkMessage {
    /// Makes a pair of links, the other of which is in a namespace.
    static func newPair(_ name: String, _ peer: String, in namespace: Int32) -> NetlinkMessage {
        var message = NetlinkMessage(
            type: RouteType.newLink, flags: [.create, .exclusive, .acknowledge], header: linkHeader(index: 0))
        message.add(LinkAttribute.name, text: name)
        let other =
            linkHeader(index: 0) + NetlinkAttribute.encoded(LinkAttribute.name, Array(peer.utf8) + [0])
            + NetlinkAttribute.encoded(28, namespace.native)
        message.add(
            LinkAttribute.information,
            nested: [
                (LinkAttribute.kind, Array("veth".utf8)),
                (
                    LinkAttribute.data | NetlinkAttribute.nestedFlag,
                    NetlinkAttribute.encoded(1 | NetlinkAttribute.nestedFlag, other)
                ),
            ])
        return message
    }

    /// The default route.
    static func newRoute(by text: String) throws -> NetlinkMessage {
        let gateway = try #require(IPAddress(text))
        var message = NetlinkMessage(
            type: RouteType.newRoute, flags: [.create, .exclusive, .acknowledge],
            header: [gateway.family, 0, 0, 0, 254, 3, 0, 1] + UInt32(0).native)
        message.add(5, gateway.bytes)
        return message
    }
}

/// Awaits a condition. Errors: it does not come true.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "\(what): did not come true")
        try await Task.sleep(for: .milliseconds(5))
    }
}
