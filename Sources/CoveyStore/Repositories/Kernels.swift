package import CoveyModel

/// Kernels. As ``Images``, with one default a tenant.
package struct Kernels: Sendable {
    private let core: RepositoryCore
    private var table: ResourceTable<Kernel> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Asks for a kernel, with its operation, in one transaction. It becomes the default where `spec` says so.
    /// Errors: ``ErrorCode/conflict`` for a name that is taken or a request id that was used for something else.
    package func create(
        _ tenant: Tenant, name: String, labels: [String: String] = [:], spec: KernelSpec, node: NodeID,
        requestID: String, kind: OperationKind = .importKernel
    ) async throws -> (kernel: Kernel, operation: Operation) {
        try Names.checkKernel(name)
        let metadata = Metadata(
            id: core.ids.next(Kernel.self), name: name, tenant: tenant.description, labels: labels,
            createdAt: core.now())
        let made = try await table.create(
            Kernel(metadata: metadata, spec: spec, status: KernelStatus(node: node)), node: node, bound: false,
            requestID: requestID, kind: kind, digest: try core.digest(kind, name, labels, spec)
        ) { draft, _ in
            if spec.isDefault { try await takeDefault(tenant.description, for: metadata.id, in: &draft) }
            return nil
        }
        return (made.resource, made.operation)
    }

    /// A kernel by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: KernelID) async throws -> Kernel {
        try await table.load(id).resource
    }

    /// A kernel by name, id or unambiguous part of an id. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Kernel {
        try await table.resolve(tenant, reference).resource
    }

    /// The kernel of machines that name none; nil where there is none.
    package func getDefault(_ tenant: Tenant) async throws -> Kernel? {
        guard let entry = try await core.store.get(KeySpace.defaultKernel(tenant.description)),
            let id = KernelID(String(decoding: entry.value, as: UTF8.self))
        else { return nil }
        return try await table.load(id).resource
    }

    /// Makes a kernel the tenant's only default, in one transaction; idempotent.
    @discardableResult
    package func setDefault(_ id: KernelID) async throws -> Kernel {
        try await core.settle("making kernel \(id) the default") {
            var loaded = try await table.load(id)
            if loaded.record.spec.isDefault { return loaded.resource }
            var draft = Draft()
            try await takeDefault(loaded.record.tenant, for: id, in: &draft)
            loaded.record.spec.isDefault = true
            loaded.record.generation += 1
            draft.replace(
                loaded.specEntry, try Kernel.specFormat.encode(loaded.record, over: loaded.specEntry.value))
            let result = try await core.store.transact(draft.transaction)
            return result.succeeded ? loaded.resource.at(result.revision) : nil
        }
    }

    /// The kernels of a tenant, or of all (nil), that have all the labels.
    package func list(_ tenant: Tenant? = nil, labels: [String: String] = [:]) async throws -> Listing<Kernel> {
        try await table.list(tenant, labels: labels)
    }

    /// Changes what was seen. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: KernelID, change: @Sendable (inout KernelStatus) throws -> Void
    ) async throws -> Kernel {
        try await table.updateStatus(id, change: change)
    }

    /// Says that a node made a kernel whose record does not say who did; idempotent, and nothing where another was said.
    @discardableResult
    package func claim(_ id: KernelID, for node: NodeID) async throws -> Kernel {
        try await table.updateStatus(id) { status in
            if status.node == nil { status.node = node }
        }
    }

    /// Marks a kernel as to be deleted (``ArtifactState/deleting``), with its operation, in one transaction.
    ///
    /// - Parameter node: Who removes it where its record does not say who made it.
    package func requestRemoval(
        _ id: KernelID, node: NodeID, requestID: String
    ) async throws -> (kernel: Kernel, operation: Operation) {
        let made = try await table.request(.deleteKernel, on: id, node: { $0.node ?? node }, requestID: requestID) {
            $0.state = .deleting
        }
        return (made.resource, made.operation)
    }

    /// Gives a kernel another name, in one transaction; idempotent. Errors: ``ErrorCode/conflict`` for a taken one.
    @discardableResult
    package func rename(_ id: KernelID, to name: String) async throws -> Kernel {
        try Names.checkKernel(name)
        return try await core.settle("renaming kernel \(id)") {
            var loaded = try await table.load(id)
            if loaded.record.name == name { return loaded.resource }
            let nameKey = KeySpace.name(Kernel.kind, loaded.record.tenant, name)
            var draft = Draft()
            draft.create(nameKey, Array(id.description.utf8))
            draft.delete(KeySpace.name(Kernel.kind, loaded.record.tenant, loaded.record.name))
            loaded.record.name = name
            loaded.record.generation += 1
            draft.replace(
                loaded.specEntry, try Kernel.specFormat.encode(loaded.record, over: loaded.specEntry.value))
            if try await core.store.transact(draft.transaction).succeeded { return try await table.load(id).resource }
            if try await core.store.get(nameKey) != nil { throw table.nameTaken(name) }
            return nil
        }
    }

    /// Removes all keys of a kernel in one transaction; idempotent. A default is none afterwards.
    package func remove(_ id: KernelID) async throws {
        try await table.remove(id) { loaded, draft in
            let key = KeySpace.defaultKernel(loaded.record.tenant)
            guard let entry = try await core.store.get(key), entry.value == Array(id.description.utf8) else { return }
            draft.expect(entry)
            draft.delete(key)
        }
    }

    /// The kernels of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Kernel> { table.watch(tenant) }

    /// Points the default at a kernel, and takes the mark from the one that had it.
    private func takeDefault(_ tenant: String, for id: KernelID, in draft: inout Draft) async throws {
        let key = KeySpace.defaultKernel(tenant)
        guard let entry = try await core.store.get(key) else {
            return draft.create(key, Array(id.description.utf8))
        }
        draft.replace(entry, Array(id.description.utf8))
        guard let old = KernelID(String(decoding: entry.value, as: UTF8.self)), old != id else { return }
        var loaded = try await table.load(old)
        loaded.record.spec.isDefault = false
        loaded.record.generation += 1
        draft.replace(loaded.specEntry, try Kernel.specFormat.encode(loaded.record, over: loaded.specEntry.value))
    }
}
