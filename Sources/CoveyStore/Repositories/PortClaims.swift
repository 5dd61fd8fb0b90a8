internal import CoveyModel

/// Ports of a node that lead to machines: keys that are taken and given back with the machine.
struct PortClaims: Sendable {
    let core: RepositoryCore

    init(_ core: RepositoryCore) { self.core = core }

    /// Adds what lets a machine publish other ports than it does.
    /// Errors: ``ErrorCode/invalid`` for more than a transaction holds, or two that overlap; ``ErrorCode/conflict``
    /// where a machine has one already.
    func change(
        _ old: [PublishedPort], to new: [PublishedPort], of machine: MachineID, on node: NodeID, _ draft: inout Draft
    ) async throws {
        try PublishedPort.check(new)
        let (before, after) = (Set(old.map { KeySpace.port(node, $0) }), Set(new.map { KeySpace.port(node, $0) }))
        for key in before.subtracting(after).sorted() { draft.delete(key) }
        for port in new where !before.contains(KeySpace.port(node, port)) {
            try await refuseTaken(port, node)
            let key = KeySpace.port(node, port)
            draft.compares.append(
                port.isOnEveryAddress
                    ? .prefixEmpty(KeySpace.ports(node, port)) : .absent(KeySpace.portOnEveryAddress(node, port)))
            if port.isOnEveryAddress {
                draft.put(key, Array(machine.description.utf8))
            } else {
                draft.create(key, Array(machine.description.utf8))
            }
        }
    }

    /// Those of the ports that a machine has already, or one that cannot be had beside it.
    func claimed(_ ports: [PublishedPort], on node: NodeID) async throws -> Set<PublishedPort> {
        var claimed: Set<PublishedPort> = []
        for port in ports {
            for entry in try await core.store.list(KeySpace.ports(node, port)).entries
            where excludes(entry.key, port, node) { claimed.insert(port) }
        }
        return claimed
    }

    /// Whether a claim keeps a port of the same version from being had.
    private func excludes(_ claim: StoreKey, _ port: PublishedPort, _ node: NodeID) -> Bool {
        port.isOnEveryAddress || claim == KeySpace.portOnEveryAddress(node, port) || claim == KeySpace.port(node, port)
    }

    private func refuseTaken(_ port: PublishedPort, _ node: NodeID) async throws {
        for entry in try await core.store.list(KeySpace.ports(node, port)).entries {
            guard excludes(entry.key, port, node) else { continue }
            let holder = MachineID(String(decoding: entry.value, as: UTF8.self))
            let name = if let holder { try await Addresses(core).name(of: holder) } else { "unknown" }
            let place = entry.key.text.split(separator: "/").last.map { $0 == "any" ? "every address" : String($0) }
            throw CoveyError(
                .conflict,
                "port \(port.hostPort)/\(port.transport.rawValue) on \(place ?? "this host") is published by vm \(name)",
                remedy: "choose another port of the host", resource: ResourceReference("vm", name))
        }
    }
}
