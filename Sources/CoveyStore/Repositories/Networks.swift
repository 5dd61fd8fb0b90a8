package import CoveyModel

/// Networks, whose blocks never overlap, and who has which address of them.
///
/// A mutating call with a request id can be repeated: the repeat returns the first result.
package struct Networks: Sendable {
    /// So long an address rests after its machine was removed before another may have it: until caches that know the
    /// old one (ARP, DNS, connections) have forgotten it.
    package static let rest = Duration.seconds(60)
    /// So many interfaces fit into a machine.
    package static let interfaceLimit = 4
    /// The name of the network of machines that name none.
    package static let defaultName = "default"
    /// What stands for no network on the command line.
    package static let noneName = "none"
    /// So many networks fit into a store: their blocks stand in one record.
    package static let limit = 2048

    let core: RepositoryCore
    var table: ResourceTable<Network> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Makes a network with its blocks, in one transaction.
    ///
    /// - Parameters:
    ///   - request: What is asked for.
    ///   - routed: Blocks that the node routes elsewhere, which are not chosen and not taken.
    ///   - requestID: The caller's request id.
    /// - Throws: ``ErrorCode/invalid`` for a name or blocks that cannot be; ``ErrorCode/conflict`` where the name is
    ///   taken, a block overlaps another, or the request id was used for something else; ``ErrorCode/exhausted`` where
    ///   no block is left to choose, or there are too many networks.
    package func create(
        _ tenant: Tenant, _ request: NetworkRequest, avoiding routed: [AddressBlock] = [], requestID: String
    ) async throws -> Network {
        try Request.check(requestID)
        let digest = RecordCoding.digest([Array("create network".utf8), try RecordCoding.encode(request)])
        return try await make(tenant, request, avoiding: routed, Request(id: requestID, digest: digest)) { _ in
            throw table.nameTaken(request.name)
        }
    }

    /// The tenant's network for machines that name none; made where it is not there. For a daemon that starts, and
    /// for the first machine of a tenant.
    ///
    /// - Parameters:
    ///   - routed: Blocks that the node routes elsewhere, which are not chosen.
    ///   - withIPv6: Whether a new one gets an IPv6 block.
    package func ensureDefault(
        _ tenant: Tenant = .standard, avoiding routed: [AddressBlock], withIPv6: Bool = false
    ) async throws -> Network {
        let request = NetworkRequest(name: Networks.defaultName, block6: withIPv6 ? .auto : .none)
        return try await make(tenant, request, avoiding: routed, nil) { try await table.load($0).resource }
    }

    /// - Parameter taken: What the result is where the name is taken, by the id of the network that has it.
    private func make(
        _ tenant: Tenant, _ request: NetworkRequest, avoiding routed: [AddressBlock], _ repeatable: Request?,
        taken: (NetworkID) async throws -> Network
    ) async throws -> Network {
        try Names.checkLabel(request.name, kind: "network")
        guard request.name != Networks.noneName else {
            throw CoveyError(
                .invalid, "no network can be called \(Networks.noneName)", remedy: "choose another name",
                resource: ResourceReference("network", request.name))
        }
        let metadata = Metadata(
            id: core.ids.next(Network.self), name: request.name, tenant: tenant.description, labels: request.labels,
            createdAt: core.now())
        let nameKey = KeySpace.name(.network, metadata.tenant, metadata.name)
        return try await core.settle("creating network \(metadata.name)") {
            var keys = [nameKey, KeySpace.blocks]
            if let repeatable { keys.append(KeySpace.request(metadata.tenant, repeatable.id)) }
            let there = try await core.store.get(all: keys).entries
            if let repeatable,
                let first = try await table.firstResult(
                    there[2], requestID: repeatable.id, digest: repeatable.digest)
            {
                return first.resource
            }
            if let entry = there[0] {
                guard let id = NetworkID(String(decoding: entry.value, as: UTF8.self)) else {
                    throw CoveyError(.corrupt, "\(nameKey): the value is no id")
                }
                return try await taken(id)
            }
            var blocks = try read(there[1])
            let spec = try choose(request, for: metadata.tenant, among: blocks, avoiding: routed)
            blocks.networks.append(
                BlocksRecord.Entry(
                    network: metadata.id, tenant: metadata.tenant, name: metadata.name, block: spec.block,
                    block6: spec.block6))
            let network = Network(metadata: metadata, spec: spec, status: NetworkStatus())
            var draft = Draft()
            draft.create(nameKey, Array(metadata.id.description.utf8))
            try table.add(network, node: nil, uidSlot: nil, to: &draft)
            try write(blocks, over: there[1], &draft)
            if let repeatable { try table.add(repeatable, target: metadata.id, tenant: metadata.tenant, to: &draft) }
            let result = try await core.store.transact(draft.transaction)
            return result.succeeded ? network.at(result.revision) : nil
        }
    }

    /// A network by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: NetworkID) async throws -> Network { try await table.load(id).resource }

    /// A network by name, id or unambiguous part of an id. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Network {
        try await table.resolve(tenant, reference).resource
    }

    /// The networks of a tenant, or of all (nil), that have all the labels.
    package func list(_ tenant: Tenant? = nil, labels: [String: String] = [:]) async throws -> Listing<Network> {
        try await table.list(tenant, labels: labels)
    }

    /// Changes what is wanted; its blocks cannot be changed.
    ///
    /// - Parameters:
    ///   - requestID: The caller's request id.
    ///   - change: What is changed.
    /// - Throws: ``ErrorCode/invalid`` for what no network can be; ``ErrorCode/conflict`` for a request id that was
    ///   used for something else.
    package func update(_ id: NetworkID, requestID: String, _ change: NetworkChange) async throws -> Network {
        try Request.check(requestID)
        let digest = RecordCoding.digest([
            Array("update network \(id)".utf8), try RecordCoding.encode(change),
        ])
        return try await core.settle("changing network \(id)") {
            guard let tenant = try await table.owner(id) else { throw CoveyError.notFound("network", id.description) }
            var (loaded, others) = try await table.load(tenant, id, with: [KeySpace.request(tenant, requestID)])
            if let first = try await table.firstResult(others[0], requestID: requestID, digest: digest) {
                return first.resource
            }
            let old = loaded.record.spec
            change.apply(to: &loaded.record.spec)
            try loaded.record.spec.check()
            if loaded.record.spec == old { return loaded.resource }
            loaded.record.generation += 1
            var draft = Draft()
            draft.replace(
                loaded.specEntry, try Network.specFormat.encode(loaded.record, over: loaded.specEntry.value))
            try table.add(
                Request(id: requestID, digest: digest, operation: nil), target: id, tenant: tenant, to: &draft)
            let result = try await core.store.transact(draft.transaction)
            return result.succeeded ? loaded.resource.at(result.revision) : nil
        }
    }

    /// Changes what was seen. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: NetworkID, change: @Sendable (inout NetworkStatus) throws -> Void
    ) async throws -> Network {
        try await table.updateStatus(id, change: change)
    }

    /// The networks of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Network> { table.watch(tenant) }
}
