internal import CoveyModel
package import CoveyStore

/// Machines that come and go on networks, and what has to hold of their addresses and ports at every moment.
package struct AddressWorkload: Sendable {
    /// Stores on the same keys, as several programs have them.
    private let all: [Repositories]
    private let stores: [any Store]
    /// The node of all machines.
    private let node: NodeID

    /// A workload over stores on the same keys.
    package init(_ stores: [any Store]) async throws {
        let ids = IdentifierSource(time: { Timestamp(milliseconds: 1_700_000_000_000) })
        var all: [Repositories] = []
        for store in stores {
            all.append(
                try await Repositories.open(store, ids: ids, now: { Timestamp(milliseconds: 1_700_000_000_000) }))
        }
        self.all = all
        self.stores = stores
        node = ids.next()
    }

    /// So many creations at once in a block that has hardly more room, half of them with ports; then all are removed,
    /// and nothing is left. Throws ``ExpectationFailure``.
    package func concurrentCreations(_ count: Int = 50) async throws {
        let request = NetworkRequest(name: "crowd", block: AddressBlock("10.90.0.0/26"), block6: .auto)
        let network = try await all[0].networks.create(.standard, request, requestID: "network")
        let made = try await withThrowingTaskGroup(of: VirtualMachine.self) { group in
            for number in 0..<count { group.addTask { try await create(number, on: network) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        try expectEqual(Set(made.flatMap(\.spec.addresses)).count, 2 * count, "addresses of \(count) machines")
        try expectEqual(Set(made.compactMap { $0.spec.networks.first?.mac }).count, count, "MAC addresses")
        try await audit()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, machine) in made.enumerated() {
                group.addTask { try await all[number % all.count].machines.remove(machine.metadata.id) }
            }
            try await group.waitForAll()
        }
        try await audit()
        try await all[0].networks.remove(.standard, "crowd", requestID: "removal")
        for prefix in ["addr/", "rest/", "mac/", "node/\(node)/port/"] as [StoreKey] {
            try expectEqual(try await stores[0].list(prefix).entries.count, 0, "keys of \(prefix)")
        }
    }

    /// Creations against the removal of their network: it is never gone under a machine.
    /// Throws ``ExpectationFailure``.
    package func removalRaces(_ rounds: Int = 12) async throws {
        for round in 0..<rounds {
            let name = "race-\(round)"
            let network = try await all[0].networks.create(
                .standard, NetworkRequest(name: name), requestID: "network \(round)")
            async let creation = attempt { try await create(1000 + round, on: network) }
            async let removal = attempt {
                try await all[all.count - 1].networks.remove(.standard, name, requestID: "removal \(round)")
            }
            let (made, gone) = (try await creation, try await removal)
            try expect(made != gone, "round \(round): machine made \(made), network removed \(gone)")
            try await audit()
        }
    }

    private func attempt(_ body: @Sendable () async throws -> some Sendable) async throws -> Bool {
        do {
            _ = try await body()
            return true
        } catch let error as CoveyError where error.code == .conflict || error.code == .notFound {
            return false
        }
    }

    private func create(_ number: Int, on network: Network) async throws -> VirtualMachine {
        var spec = MachineSpec(image: "debian")
        spec.networks = [NetworkAttachment(network: network.metadata.name, networkID: network.metadata.id)]
        if number % 2 == 0 {
            spec.ports = [PublishedPort(hostPort: UInt16(8000 + number), guestPort: 80)]
        }
        return try await all[number % all.count].machines.create(
            .standard, name: "vm-\(number)", spec: spec, node: node, requestID: "create \(number)"
        ).machine
    }

    /// Checks that the keys of addresses and ports are those of the machines, and that every machine's network is there.
    /// Throws ``ExpectationFailure``.
    package func audit() async throws {
        let machines = try await all[0].machines.list()
        let networks = Set(try await all[0].networks.list().items.map(\.metadata.id))
        var wanted: [String] = []
        var ports = 0
        for machine in machines.items {
            ports += machine.spec.ports.count
            for attachment in machine.spec.networks {
                let id = try unwrapped(attachment.networkID, "the network of \(machine.metadata.name)")
                try expect(networks.contains(id), "network \(id) of \(machine.metadata.name) is gone")
                _ = try unwrapped(attachment.address, "the address of \(machine.metadata.name)")
            }
            let id = machine.spec.networks.compactMap(\.networkID).first
            for address in machine.spec.addresses {
                wanted.append("addr/\(id.map(\.description) ?? "")/\(address) \(machine.metadata.id)")
            }
        }
        var held: [String] = []
        for entry in try await stores[0].list("addr/").entries {
            let text = String(decoding: entry.value, as: UTF8.self)
            let holder = machines.items.first { text.contains($0.metadata.id.description) }
            held.append("\(entry.key) \(holder.map(\.metadata.id.description) ?? "nobody")")
        }
        try expectEqual(held.sorted(), wanted.sorted(), "addresses")
        try expectEqual(try await stores[0].list("node/\(node)/port/").entries.count, ports, "ports")
        try expect(machines.setAside.isEmpty, "all records can be read")
    }
}
