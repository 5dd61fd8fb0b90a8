internal import CoveyModel

/// An interface that a machine is about to get, with its network as it was read.
struct Taking: Sendable {
    let wanted: NetworkAttachment
    let index: Int
    let machine: Metadata<VirtualMachine>
    let loaded: Loaded<Network>
    let plan: AddressPlan

    var id: NetworkID { loaded.record.id }
    var name: String { loaded.record.name }

    /// Errors: ``ErrorCode/notFound``; ``ErrorCode/corrupt`` for a network whose blocks cannot be.
    init(
        _ networks: ResourceTable<Network>, _ wanted: NetworkAttachment, _ index: Int,
        _ machine: Metadata<VirtualMachine>
    ) async throws {
        guard let id = wanted.networkID else {
            throw CoveyError(.internalError, "network \(wanted.network) was not resolved")
        }
        let loaded = try await networks.load(id)
        guard loaded.record.tenant == machine.tenant else { throw CoveyError.notFound("network", wanted.network) }
        guard let plan = AddressPlan(loaded.record.spec) else {
            throw CoveyError(
                .corrupt, "\(loaded.specEntry.key): no network can have the block \(loaded.record.spec.block)")
        }
        self.wanted = wanted
        self.index = index
        self.machine = machine
        self.loaded = loaded
        self.plan = plan
    }

    /// The bytes of an address's record.
    func record(over entry: StoreEntry? = nil) throws -> [UInt8] {
        let record = AddressRecord(machine: machine.id, interface: index)
        guard let entry else { return try AddressRecord.format.encode(record) }
        return try AddressRecord.format.encode(record, over: entry.value)
    }

    /// Throws ``ErrorCode/invalid`` for an address that no machine may have.
    func check(_ address: IPAddress) throws(CoveyError) {
        let spec = loaded.record.spec
        let block: AddressBlock
        switch address {
        case .v4: block = spec.block
        case .v6:
            guard let block6 = spec.block6 else {
                throw CoveyError(
                    .invalid, "network \(name) has no IPv6 block, and \(address) is an IPv6 address",
                    remedy: "leave ip6= out", resource: ResourceReference("network", name))
            }
            block = block6
        }
        let wrong: String
        switch plan.use(of: address) {
        case .machine: return
        case .outside: wrong = "is not of block \(block)"
        case .network: wrong = "stands for block \(block) itself"
        case .gateway: wrong = "is the gateway"
        case .node: wrong = "is kept for the node"
        case .broadcast: wrong = "is the block's broadcast address"
        }
        let (first, last) = (plan.machines.lowerBound, plan.machines.upperBound)
        let range =
            switch address {
            case .v4: "choose one of \(plan.address(at: first)) to \(plan.address(at: last))"
            case .v6: "choose another of \(block)"
            }
        throw CoveyError(
            .invalid, "address \(address) of network \(name) \(wrong)", remedy: "\(range), or leave it out",
            resource: ResourceReference("network", name))
    }

    /// Nobody can have another address now.
    func exhausted(used: Int, resting: Int) -> CoveyError {
        let resting = resting > 0 ? ", and \(resting) rest for up to \(Networks.rest.text) after use" : ""
        return CoveyError(
            .exhausted,
            "network \(name) (\(loaded.record.spec.block)) has \(plan.machines.count) addresses for machines: "
                + "\(used) are in use\(resting)",
            remedy: "remove machines that are not needed any more, or make a larger network: "
                + "covey network create NAME --block CIDR", resource: ResourceReference("network", name),
            retryable: !resting.isEmpty)
    }
}
