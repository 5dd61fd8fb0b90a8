package import CoveyModel

/// Volumes, and which machine has which.
package struct Volumes: Sendable {
    let core: RepositoryCore
    private var table: ResourceTable<Volume> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Asks for a volume on a node, with its operation, in one transaction.
    /// Errors: ``ErrorCode/conflict`` for a name that is taken or a request id that was used for something else.
    package func create(
        _ tenant: Tenant, name: String, labels: [String: String] = [:], spec: VolumeSpec, node: NodeID,
        requestID: String
    ) async throws -> (volume: Volume, operation: Operation) {
        try Names.checkLabel(name, kind: "volume")
        let metadata = Metadata(
            id: core.ids.next(Volume.self), name: name, tenant: tenant.description, labels: labels,
            createdAt: core.now())
        let made = try await table.create(
            Volume(metadata: metadata, spec: spec, status: VolumeStatus(node: node)), node: node, bound: false,
            requestID: requestID, kind: .createVolume, digest: try core.digest(.createVolume, name, labels, spec)
        ) { _, _ in nil }
        return (made.resource, made.operation)
    }

    /// A volume by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: VolumeID) async throws -> Volume { try await table.load(id).resource }

    /// A volume by name, id or unambiguous part of an id. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Volume {
        try await table.resolve(tenant, reference).resource
    }

    /// The volumes of a tenant, or of all (nil), that have all the labels.
    package func list(_ tenant: Tenant? = nil, labels: [String: String] = [:]) async throws -> Listing<Volume> {
        try await table.list(tenant, labels: labels)
    }

    /// Changes what was seen. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: VolumeID, change: @Sendable (inout VolumeStatus) throws -> Void
    ) async throws -> Volume {
        try await table.updateStatus(id, change: change)
    }

    /// Asks for a larger size, with its operation, in one transaction. Where it lies is where it is carried out; `node`
    /// stands in where no record says so.
    /// Errors: ``ErrorCode/invalid`` for a smaller one; ``ErrorCode/conflict`` where it is being deleted.
    package func requestGrowth(
        _ id: VolumeID, to size: ByteCount, node: NodeID, requestID: String
    ) async throws -> (volume: Volume, operation: Operation) {
        try await request(.resizeVolume, on: id, node: node, requestID: requestID, parameters: size.description) {
            name, spec in
            try Volumes.refuseDeleting(name, spec)
            guard size >= spec.size else {
                throw CoveyError(
                    .invalid, "volume \(name) has \(spec.size), and volumes do not shrink",
                    remedy: "ask for more than \(spec.size)", resource: ResourceReference("volume", name))
            }
            spec.size = size
        }
    }

    /// Marks a volume as to be deleted, with its operation, in one transaction.
    /// Errors: ``ErrorCode/conflict`` while a machine has it.
    package func requestRemoval(
        _ id: VolumeID, node: NodeID, requestID: String
    ) async throws -> (volume: Volume, operation: Operation) {
        try await request(.deleteVolume, on: id, node: node, requestID: requestID) { name, spec in
            if let user = spec.attachments.first {
                throw CoveyError(
                    .conflict, "volume \(name) is attached to vm \(user.name)",
                    remedy: "detach it first: covey volume detach \(name) \(user.name)",
                    resource: ResourceReference("volume", name))
            }
            spec.deleting = true
        }
    }

    /// Puts the wanted size back to what the node has, after it could not grow; idempotent.
    package func settleSize(_ id: VolumeID) async throws {
        try await core.settle("changing volume \(id)") { () async throws -> Void? in
            var loaded = try await table.load(id)
            guard let size = loaded.status.size, loaded.record.spec.size != size else { return () }
            loaded.record.spec.size = size
            loaded.record.generation += 1
            var draft = Draft()
            draft.replace(
                loaded.specEntry, try Volume.specFormat.encode(loaded.record, over: loaded.specEntry.value))
            return try await core.store.transact(draft.transaction).succeeded ? () : nil
        }
    }

    /// Removes all keys of a volume in one transaction; idempotent.
    package func remove(_ id: VolumeID) async throws { try await table.remove(id) }

    /// The volumes of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Volume> { table.watch(tenant) }

    static func refuseDeleting(_ name: String, _ spec: VolumeSpec) throws(CoveyError) {
        guard spec.deleting else { return }
        throw CoveyError(
            .conflict, "volume \(name) is being deleted", resource: ResourceReference("volume", name))
    }

    /// Changes what is wanted and stores an operation, in one transaction; recognises a repeat.
    private func request(
        _ kind: OperationKind, on id: VolumeID, node: NodeID, requestID: String, parameters: String = "",
        change: (String, inout VolumeSpec) throws -> Void
    ) async throws -> (volume: Volume, operation: Operation) {
        try Request.check(requestID)
        let digest = RecordCoding.digest([kind.rawValue, id.description, parameters].map { Array($0.utf8) })
        return try await core.settle("asking for \(kind.rawValue) of \(id)") {
            guard let tenant = try await table.owner(id) else { throw CoveyError.notFound("volume", id.description) }
            var (loaded, others) = try await table.load(tenant, id, with: [KeySpace.request(tenant, requestID)])
            if let first = try await table.firstResult(others[0], requestID: requestID, digest: digest),
                let operation = first.operation
            {
                return (first.resource, operation)
            }
            try change(loaded.record.name, &loaded.record.spec)
            loaded.record.generation += 1
            let operation = table.operation(
                kind, on: loaded.record.metadata(.zero), generation: loaded.record.generation, requestID: requestID,
                node: loaded.status.node ?? node)
            var draft = Draft()
            draft.replace(
                loaded.specEntry, try Volume.specFormat.encode(loaded.record, over: loaded.specEntry.value))
            try table.add(
                Request(id: requestID, digest: digest, operation: operation), target: id, tenant: tenant, to: &draft)
            let result = try await core.store.transact(draft.transaction)
            guard result.succeeded else { return nil }
            return (loaded.resource.at(result.revision), operation.at(result.revision))
        }
    }
}
