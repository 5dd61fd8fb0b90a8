internal import CoveyModel

/// The kinds whose resources have a spec and a status.
enum ResourceKind: String, Sendable, CaseIterable {
    case machine = "vm"
    case image
    case kernel
    case operation
    case volume
    case network
}

/// The table of keys, and the only place that knows them: `docs/adr/0003-keys.md`.
///
/// Names and request ids are escaped, so that a part never has a `/`.
enum KeySpace {
    static let format: StoreKey = "meta/format"
    static let incarnation = StoreKey.incarnation
    /// The incarnations before this one, a line each, the newest last.
    static let ancestors: StoreKey = "meta/ancestors"
    static let mostAncestors = 100
    /// There while a store is being filled.
    static let filling: StoreKey = "meta/filling"
    /// There where a store's state was moved elsewhere.
    static let moved: StoreKey = "meta/moved"
    /// What belongs to one store, and goes into no other.
    static let ofOneStore: Set<StoreKey> = [incarnation, ancestors, filling, moved]
    static let nodes: StoreKey = "nodes/"

    static func node(_ node: NodeID) -> StoreKey { "nodes/\(node)" }

    /// The node that has a name.
    static func nodeName(_ name: String) -> StoreKey { "name/node/\(escaped(name))" }
    /// There while a node's daemon runs, with a lease.
    static let presences: StoreKey = "presence/"
    static func presence(_ node: NodeID) -> StoreKey { "presence/\(node)" }

    static func bindings(_ node: NodeID) -> StoreKey { "node/\(node)/vm/" }
    static func binding(_ node: NodeID, _ machine: MachineID) -> StoreKey { "node/\(node)/vm/\(machine)" }

    static func runs(_ node: NodeID) -> StoreKey { "node/\(node)/run/" }
    static func runs(_ node: NodeID, _ machine: MachineID) -> StoreKey { "node/\(node)/run/\(machine)/" }
    static func run(_ node: NodeID, _ machine: MachineID, _ generation: Int64) -> StoreKey {
        "node/\(node)/run/\(machine)/\(padded(generation, 10))"
    }

    static func uids(_ node: NodeID) -> StoreKey { "node/\(node)/uid/" }
    static func uid(_ node: NodeID, _ slot: Int) -> StoreKey { "node/\(node)/uid/\(padded(Int64(slot), 5))" }
    /// The slot of a key that ``uid(_:_:)`` made.
    static func slot(_ key: StoreKey) -> Int? { key.text.split(separator: "/").last.flatMap { Int($0) } }

    static func resources(_ kind: ResourceKind, _ tenant: Tenant?) -> StoreKey {
        tenant.map { "\(kind.rawValue)/\($0)/" } ?? "\(kind.rawValue)/"
    }
    static func spec<R: StoredResource>(_ tenant: String, _ id: Identifier<R>) -> StoreKey {
        "\(R.kind.rawValue)/\(escaped(tenant))/\(id)/spec"
    }
    static func status<R: StoredResource>(_ tenant: String, _ id: Identifier<R>) -> StoreKey {
        "\(R.kind.rawValue)/\(escaped(tenant))/\(id)/status"
    }
    static func owner<R: StoredResource>(_ id: Identifier<R>) -> StoreKey { "owner/\(R.kind.rawValue)/\(id)" }
    static func name(_ kind: ResourceKind, _ tenant: String, _ name: String) -> StoreKey {
        "name/\(kind.rawValue)/\(escaped(tenant))/\(escaped(name))"
    }

    static let blocks: StoreKey = "networks/blocks"
    static func addresses(_ network: NetworkID) -> StoreKey { "addr/\(network)/" }
    static func address(_ network: NetworkID, _ address: IPAddress) -> StoreKey { "addr/\(network)/\(address)" }
    static let rests: StoreKey = "rest/"
    static func rests(_ network: NetworkID) -> StoreKey { "rest/\(network)/" }
    static func rest(_ network: NetworkID, _ address: IPAddress) -> StoreKey { "rest/\(network)/\(address)" }
    static func mac(_ network: NetworkID, _ mac: MACAddress) -> StoreKey { "mac/\(network)/\(mac)" }
    /// The network and the address of a key that ``address(_:_:)`` or ``rest(_:_:)`` made; nil for another.
    static func networkAddress(_ key: StoreKey) -> (network: NetworkID, address: IPAddress)? {
        let parts = key.text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, let network = NetworkID(String(parts[1])), let address = IPAddress(String(parts[2]))
        else { return nil }
        return (network, address)
    }

    /// The claims of one port of a node, of one version of the protocol.
    static func ports(_ node: NodeID, _ port: PublishedPort) -> StoreKey {
        let version = if case .v6 = port.bind { "6" } else { "4" }
        return "node/\(node)/port/\(port.transport.rawValue)/\(padded(Int64(port.hostPort), 5))/\(version)/"
    }
    static func port(_ node: NodeID, _ port: PublishedPort) -> StoreKey {
        let place = port.isOnEveryAddress ? "any" : port.place.description
        return "\(ports(node, port))\(place)"
    }
    /// The claim of the port on every address.
    static func portOnEveryAddress(_ node: NodeID, _ port: PublishedPort) -> StoreKey { "\(ports(node, port))any" }

    static func defaultKernel(_ tenant: String) -> StoreKey { "default/kernel/\(escaped(tenant))" }

    static let requests: StoreKey = "request/"
    static func request(_ tenant: String, _ id: String) -> StoreKey { "request/\(escaped(tenant))/\(escaped(id))" }

    static let allEvents: StoreKey = "event/"
    static func events(_ tenant: Tenant) -> StoreKey { "event/\(escaped(tenant.description))/" }
    static func event(_ tenant: String, _ id: EventID) -> StoreKey { "event/\(escaped(tenant))/\(id)" }
    /// The event of a key that ``event(_:_:)`` made; nil for another.
    static func event(_ key: StoreKey) -> EventID? {
        let parts = key.text.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 3 && parts[0] == "event" ? EventID(String(parts[2])) : nil
    }

    static func election(_ name: String) -> StoreKey { "election/\(escaped(name))" }

    /// Offered work and its claims.
    static func openWork(_ queue: String) -> StoreKey { "queue/\(escaped(queue))/open/" }
    static func work(_ queue: String, _ id: String) -> StoreKey { "queue/\(escaped(queue))/open/item/\(id)" }
    static func claims(_ queue: String) -> StoreKey { "queue/\(escaped(queue))/open/claim/" }
    static func claim(_ queue: String, _ id: String) -> StoreKey { "queue/\(escaped(queue))/open/claim/\(id)" }
    static func finishedWork(_ queue: String, _ id: String) -> StoreKey { "queue/\(escaped(queue))/done/\(id)" }
    /// The last part of a key.
    static func last(_ key: StoreKey) -> String {
        key.text.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? ""
    }

    /// The tenant and the id in a key that ``spec(_:_:)`` or ``status(_:_:)`` made; nil for another.
    static func resource<R: StoredResource>(_ key: StoreKey, _: R.Type = R.self) -> (
        tenant: String, id: Identifier<R>, isSpec: Bool
    )? {
        let parts = key.text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == R.kind.rawValue, let id = Identifier<R>(String(parts[2])),
            parts[3] == "spec" || parts[3] == "status"
        else { return nil }
        return (String(parts[1]), id, parts[3] == "spec")
    }

    /// The machine in a key that ``binding(_:_:)`` made; nil for another.
    static func boundMachine(_ key: StoreKey) -> MachineID? {
        key.text.split(separator: "/").last.flatMap { MachineID(String($0)) }
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    /// Percent escapes for all but letters, digits and `._-+:@`.
    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            switch byte {
            case 48...57, 64...90, 97...122, 43, 45, 46, 58, 95: escaped.unicodeScalars.append(Unicode.Scalar(byte))
            case _:
                let hex = String(byte, radix: 16, uppercase: true)
                escaped += "%" + (hex.count == 1 ? "0" : "") + hex
            }
        }
        return escaped
    }
}
