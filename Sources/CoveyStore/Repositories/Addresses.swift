internal import CoveyModel

/// Addresses of machines: keys that are taken and given back in the transaction that changes the machine.
struct Addresses: Sendable {
    /// So many addresses that have rested go with each change.
    private static let cleaning = 16

    let core: RepositoryCore
    private var networks: ResourceTable<Network> { ResourceTable(core: core) }
    private var machines: ResourceTable<VirtualMachine> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Adds what gives a machine other interfaces than it has, and completes these with their addresses. A network
    /// that it stays on keeps its addresses where no others are asked for.
    ///
    /// - Throws: ``ErrorCode/invalid`` for an address that no machine may have there; ``ErrorCode/conflict`` for one
    ///   that another has, or that rests; ``ErrorCode/exhausted`` where the network has none left.
    func change(
        _ old: [NetworkAttachment], to wanted: inout [NetworkAttachment], of machine: Metadata<VirtualMachine>,
        _ draft: inout Draft
    ) async throws {
        guard wanted.count <= Networks.interfaceLimit else {
            throw CoveyError(
                .invalid, "\(wanted.count) networks are too many for a machine",
                remedy: "use at most \(Networks.interfaceLimit)")
        }
        var left = Array(old.enumerated())
        for index in wanted.indices {
            let place = left.firstIndex { $0.element.networkID == wanted[index].networkID }
            let before = place.map { left.remove(at: $0) }
            let taking = try await Taking(networks, wanted[index], index, machine)
            wanted[index] = try await take(taking, from: before, &draft)
        }
        for (_, attachment) in left { try await release(attachment, of: machine.id, &draft) }
    }

    /// Adds what takes all of a machine's addresses from it. They rest.
    func release(
        _ attachment: NetworkAttachment, of machine: MachineID, _ draft: inout Draft
    ) async throws {
        guard let network = attachment.networkID else { return }
        if let address = attachment.address { try await free(.v4(address), network, machine, &draft) }
        if let address = attachment.address6 { try await free(.v6(address), network, machine, &draft) }
        if let mac = attachment.mac { try await free(mac, network, machine, &draft) }
    }

    /// Adds the deletion of some addresses of a network that have rested, so that their keys do not pile up: as many
    /// as a look at a random place finds, more than a machine leaves.
    func clean(_ attachments: [NetworkAttachment], _ draft: inout Draft) async throws {
        guard !attachments.isEmpty else { return }
        let limit = Addresses.cleaning / attachments.count
        let now = core.now()
        for network in attachments.compactMap(\.networkID) {
            let loaded: Loaded<Network>
            do { loaded = try await networks.load(network) } catch let error as CoveyError
                where error.code == .notFound || error.code == .corrupt
            { continue }
            guard let plan = AddressPlan(loaded.record.spec) else { continue }
            let bits = core.ids.randomBits()
            let place = plan.machines.place(bits >> 1)
            let six = bits & 1 == 1 ? plan.address6(at: place) : nil
            let start = KeySpace.rest(network, six.map { .v6($0) } ?? .v4(plan.address(at: place)))
            for from in [start, nil] {
                let page = try await core.store.range(KeySpace.rests(network), from: from, limit: limit / 2, at: nil)
                for entry in page.entries where !draft.touches(entry.key) {
                    guard let record = try? RestRecord.format.decode(entry.value), record.isOver(now) else { continue }
                    draft.expect(entry)
                    draft.delete(entry.key)
                }
            }
        }
    }

    /// A machine's name for messages; its id where it cannot be read.
    func name(of machine: MachineID) async throws -> String {
        do { return try await machines.load(machine).record.name } catch let error as CoveyError
            where error.code == .notFound || error.code == .corrupt
        { return machine.description }
    }

    private func take(
        _ taking: Taking, from before: (offset: Int, element: NetworkAttachment)?, _ draft: inout Draft
    ) async throws -> NetworkAttachment {
        draft.expect(taking.loaded.specEntry)
        var result = taking.wanted
        let old = before?.element
        if let has = old?.address, result.address == nil || result.address == has {
            result.address = has
            try await move(.v4(has), taking, before?.offset, &draft)
        } else {
            let address = try await takeIPv4(taking, &draft)
            result.address = address
            if let has = old?.address { try await free(.v4(has), taking.id, taking.machine.id, &draft) }
        }
        guard let address = result.address, let place = taking.plan.place(of: address) else {
            throw CoveyError(.corrupt, "network \(taking.name) has no place for an address")
        }
        if let has = old?.address6, result.address6 == nil || result.address6 == has {
            result.address6 = has
            try await move(.v6(has), taking, before?.offset, &draft)
        } else {
            result.address6 = try await takeIPv6(taking, place, &draft)
            if let has = old?.address6 { try await free(.v6(has), taking.id, taking.machine.id, &draft) }
        }
        let given = MACAddress(taking.id, place: place)
        // One that the network gave goes with the address that it was given for.
        let kept = old?.mac.flatMap { $0.isGiven(by: taking.id) ? nil : $0 }
        let mac = taking.wanted.mac ?? kept ?? given
        if mac != old?.mac {
            if mac != given { try await takeMAC(mac, taking, &draft) }
            if let has = old?.mac { try await free(has, taking.id, taking.machine.id, &draft) }
        }
        result.mac = mac
        return result
    }

    /// An address stays; its key says of which interface it is.
    private func move(_ address: IPAddress, _ taking: Taking, _ index: Int?, _ draft: inout Draft) async throws {
        guard index != taking.index, let entry = try await core.store.get(KeySpace.address(taking.id, address)) else {
            return
        }
        draft.replace(entry, try taking.record(over: entry))
    }

    private func takeIPv4(_ taking: Taking, _ draft: inout Draft) async throws -> IPv4Address {
        if let address = taking.wanted.address {
            try await takeChosen(.v4(address), taking, &draft)
            return address
        }
        let span = taking.plan.machines
        let start = span.place(core.ids.randomBits())
        let near = (0..<UInt32(min(span.count, 24))).map { span.place(UInt64(start - span.lowerBound + $0)) }
        let found = try await states(near.map { .v4(taking.plan.address(at: $0)) }, taking, draft)
        for (place, state) in zip(near, found) {
            if case .free(let rest) = state {
                return try add(taking.plan.address(at: place), rest, taking, &draft)
            }
        }
        // The block is nearly full: all that is known of it tells.
        var rests: [UInt32: StoreEntry] = [:]
        let entries =
            try await core.store.list(KeySpace.addresses(taking.id)).entries
            + core.store.list(KeySpace.rests(taking.id)).entries
        var (used, resting) = (Set<UInt32>(), Set<UInt32>())
        let now = core.now()
        for entry in entries {
            guard case .v4(let address)? = KeySpace.networkAddress(entry.key)?.address,
                let place = taking.plan.place(of: address)
            else { continue }
            if !entry.key.hasPrefix(KeySpace.rests(taking.id)) {
                used.insert(place)
            } else if try networks.read(entry, { try RestRecord.format.decode($0) }).isOver(now) {
                rests[place] = entry
            } else {
                resting.insert(place)
            }
        }
        for step in 0..<UInt64(span.count) {
            let place = span.place(UInt64(start - span.lowerBound) + step)
            let address = taking.plan.address(at: place)
            if !used.contains(place), !resting.contains(place),
                !draft.touches(KeySpace.address(taking.id, .v4(address)))
            {
                return try add(address, rests[place], taking, &draft)
            }
        }
        throw taking.exhausted(used: used.count, resting: resting.count)
    }

    private func add(
        _ address: IPv4Address, _ rest: StoreEntry?, _ taking: Taking, _ draft: inout Draft
    ) throws -> IPv4Address {
        try add(.v4(address), rest, taking, &draft)
        return address
    }

    private func takeIPv6(_ taking: Taking, _ place: UInt32, _ draft: inout Draft) async throws -> IPv6Address? {
        if let address = taking.wanted.address6 {
            try await takeChosen(.v6(address), taking, &draft)
            return address
        }
        guard let own = taking.plan.address6(at: place) else { return nil }
        // Somebody may have chosen the one that goes with the place.
        var tries = [own]
        for _ in 0..<7 { tries += [taking.plan.address6(random: core.ids.randomBits())].compactMap { $0 } }
        let found = try await states(tries.map { .v6($0) }, taking, draft)
        for (address, state) in zip(tries, found) {
            if case .free(let rest) = state {
                try add(.v6(address), rest, taking, &draft)
                return address
            }
        }
        throw CoveyError(.exhausted, "network \(taking.name) has no IPv6 address left")
    }

    private func takeChosen(_ address: IPAddress, _ taking: Taking, _ draft: inout Draft) async throws {
        try taking.check(address)
        let remedy = "choose another, or leave it out to get a free one"
        switch try await states([address], taking, draft)[0] {
        case .free(let rest): try add(address, rest, taking, &draft)
        case .held(let holder):
            throw CoveyError(
                .conflict, "address \(address) of network \(taking.name) belongs to vm \(try await name(of: holder))",
                remedy: remedy, resource: ResourceReference("network", taking.name))
        case .resting(let since):
            let left = max(1, (Networks.rest.wholeMilliseconds - since.wholeMilliseconds + 999) / 1000)
            throw CoveyError(
                .conflict, "address \(address) of network \(taking.name) was another machine's, and rests for \(left)s",
                remedy: "try again then, or \(remedy)", resource: ResourceReference("network", taking.name),
                retryable: true)
        }
    }

    private func takeMAC(_ mac: MACAddress, _ taking: Taking, _ draft: inout Draft) async throws {
        let resource = ResourceReference("network", taking.name)
        guard mac.isUnicast, !mac.isGiven(by: taking.id) else {
            throw CoveyError(
                .invalid,
                "\(mac) cannot be chosen: \(mac.isUnicast ? "network \(taking.name) gives it itself" : "it is no unicast address")",
                remedy: "choose another, such as 0a:00:00:00:00:01, or leave it out", resource: resource)
        }
        let key = KeySpace.mac(taking.id, mac)
        if let entry = try await core.store.get(key) {
            let holder = MachineID(String(decoding: entry.value, as: UTF8.self))
            let name = if let holder { try await name(of: holder) } else { "unknown" }
            throw CoveyError(
                .conflict, "MAC address \(mac) of network \(taking.name) belongs to vm \(name)",
                remedy: "choose another, or leave it out", resource: resource)
        }
        draft.create(key, Array(taking.machine.id.description.utf8))
    }

    private func add(_ address: IPAddress, _ rest: StoreEntry?, _ taking: Taking, _ draft: inout Draft) throws {
        draft.create(KeySpace.address(taking.id, address), try taking.record())
        if let rest {
            draft.expect(rest)
            draft.delete(rest.key)
        } else {
            draft.compares.append(.absent(KeySpace.rest(taking.id, address)))
        }
    }

    private func free(
        _ address: IPAddress, _ network: NetworkID, _ machine: MachineID, _ draft: inout Draft
    ) async throws {
        guard let entry = try await core.store.get(KeySpace.address(network, address)) else { return }
        guard try networks.read(entry, { try AddressRecord.format.decode($0) }).machine == machine else { return }
        draft.expect(entry)
        draft.delete(entry.key)
        let rest = RestRecord(machine: machine, freedAt: core.now())
        draft.put(KeySpace.rest(network, address), try RestRecord.format.encode(rest))
    }

    private func free(
        _ mac: MACAddress, _ network: NetworkID, _ machine: MachineID, _ draft: inout Draft
    ) async throws {
        guard let entry = try await core.store.get(KeySpace.mac(network, mac)),
            String(decoding: entry.value, as: UTF8.self) == machine.description
        else { return }
        draft.expect(entry)
        draft.delete(entry.key)
    }

    /// What is known of addresses at one moment.
    private func states(_ addresses: [IPAddress], _ taking: Taking, _ draft: Draft) async throws -> [AddressState] {
        let keys = addresses.flatMap { [KeySpace.address(taking.id, $0), KeySpace.rest(taking.id, $0)] }
        let entries = try await core.store.get(all: keys).entries
        let now = core.now()
        return try addresses.indices.map { index in
            if let held = entries[2 * index] {
                return .held(try networks.read(held) { try AddressRecord.format.decode($0) }.machine)
            }
            // Another interface of this machine is about to have it.
            if draft.touches(keys[2 * index]) { return .held(taking.machine.id) }
            guard let rest = entries[2 * index + 1] else { return .free(nil) }
            let record = try networks.read(rest) { try RestRecord.format.decode($0) }
            return record.isOver(now) ? .free(rest) : .resting(since: now.since(record.freedAt))
        }
    }
}

/// What is known of an address.
private enum AddressState: Sendable {
    /// Nobody has it; its key of a rest that is over goes with the taking.
    case free(StoreEntry?)
    /// A machine has it.
    case held(MachineID)
    /// A machine had it so long ago.
    case resting(since: Duration)
}

extension ClosedRange<UInt32> {
    /// A place of the range, counted round and round.
    fileprivate func place(_ number: UInt64) -> UInt32 { lowerBound + UInt32(number % UInt64(count)) }
}

extension Draft {
    /// Whether it writes a key already.
    func touches(_ key: StoreKey) -> Bool { operations.contains { $0.key == key } }
}
