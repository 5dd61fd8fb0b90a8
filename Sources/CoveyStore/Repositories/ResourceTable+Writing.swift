internal import CoveyModel

/// A request that a repeat is recognised by.
struct Request: Sendable {
    var id: String
    var digest: String
    var operation: Operation?

    /// Throws ``ErrorCode/invalid`` for a request id of other than 1 to 128 bytes.
    static func check(_ id: String) throws(CoveyError) {
        guard (1...128).contains(id.utf8.count) else {
            throw CoveyError(.invalid, "a request id has 1 to 128 bytes, this one \(id.utf8.count)")
        }
    }
}

extension ResourceTable {
    /// Adds a new resource's keys.
    func add(_ resource: Resource, node: NodeID?, uidSlot: Int?, to draft: inout Draft) throws {
        let metadata = resource.metadata
        let record = SpecRecord<Resource>(
            id: metadata.id, name: metadata.name, tenant: metadata.tenant, labels: metadata.labels,
            createdAt: metadata.createdAt, generation: metadata.generation, node: node, uidSlot: uidSlot,
            spec: resource.spec)
        draft.create(KeySpace.spec(metadata.tenant, metadata.id), try Resource.specFormat.encode(record))
        draft.put(KeySpace.status(metadata.tenant, metadata.id), try Resource.statusFormat.encode(resource.status))
        draft.put(KeySpace.owner(metadata.id), Array(metadata.tenant.utf8))
    }

    /// Adds a request id and its operation.
    func add(_ request: Request, target: Identifier<Resource>, tenant: String, to draft: inout Draft) throws {
        let record = RequestRecord(
            operation: request.operation?.metadata.id, target: target.description, digest: request.digest,
            createdAt: core.now())
        draft.create(KeySpace.request(tenant, request.id), try RequestRecord.format.encode(record))
        if let operation = request.operation {
            try ResourceTable<Operation>(core: core).add(
                operation, node: operation.spec.node, uidSlot: nil, to: &draft)
        }
    }

    /// A new operation on a resource of this kind.
    func operation(
        _ kind: OperationKind, on target: Metadata<Resource>, generation: Int64, requestID: String, node: NodeID?
    ) -> Operation {
        let id = core.ids.next(Operation.self)
        let spec = OperationSpec(
            kind: kind, target: ResourceReference(Resource.kind.rawValue, target.name),
            targetID: target.id.description, generation: generation, requestID: requestID, node: node)
        let metadata =
            Metadata(
                id: id, name: id.description, tenant: target.tenant, createdAt: core.now()) as Metadata<Operation>
        return Operation(metadata: metadata, spec: spec, status: OperationStatus())
    }

    /// The first result of a request; nil where the request is new.
    /// Errors: ``ErrorCode/conflict`` where its content was another, or its result is gone.
    func firstResult(
        _ entry: StoreEntry?, requestID: String, digest: String
    ) async throws -> (resource: Resource, operation: Operation?)? {
        guard let entry else { return nil }
        let record = try read(entry) { try RequestRecord.format.decode($0) }
        guard record.digest == digest, let id = Identifier<Resource>(record.target) else {
            throw CoveyError(
                .conflict, "request id \(requestID) was used for another request", remedy: "use a new request id")
        }
        do {
            let resource = try await load(id).resource
            guard let operation = record.operation else { return (resource, nil) }
            return (resource, try await ResourceTable<Operation>(core: core).load(operation).resource)
        } catch let error as CoveyError where error.code == .notFound {
            throw CoveyError(
                .conflict, "request \(requestID) was carried out, and \(Resource.kind.rawValue) \(id) removed since",
                remedy: "use a new request id")
        }
    }

    /// What a request made before, where its repeat fails because of what it did then; nil where it made nothing.
    func earlier(
        _ error: CoveyError, _ tenant: Tenant, requestID: String, digest: String
    ) async throws -> (Resource, Operation)? {
        guard [.conflict, .notFound, .exhausted].contains(error.code) else { return nil }
        let entry = try await core.store.get(KeySpace.request(tenant.description, requestID))
        guard let first = try await firstResult(entry, requestID: requestID, digest: digest),
            let operation = first.operation
        else { return nil }
        return (first.resource, operation)
    }

    /// Makes a resource with its name and operation, in one transaction.
    ///
    /// - Parameters:
    ///   - resource: Name, tenant and labels, spec and status; also what a repeat is recognised by.
    ///   - digest: Tells the content from another's.
    ///   - extend: Adds the keys of this kind and completes the resource; called anew for each attempt. Returns the uid
    ///     slot.
    func create(
        _ resource: Resource, node: NodeID, bound: Bool, requestID: String, kind: OperationKind, digest: String,
        extend: (inout Draft, inout Resource) async throws -> Int?
    ) async throws -> (resource: Resource, operation: Operation) {
        try Request.check(requestID)
        let metadata = resource.metadata
        let operation = operation(
            kind, on: metadata, generation: metadata.generation, requestID: requestID, node: node)
        let nameKey = KeySpace.name(Resource.kind, metadata.tenant, metadata.name)
        let requestKey = KeySpace.request(metadata.tenant, requestID)
        return try await core.settle("creating \(Resource.kind.rawValue) \(metadata.name)") {
            var draft = Draft()
            draft.create(nameKey, Array(metadata.id.description.utf8))
            let request = Request(id: requestID, digest: digest, operation: operation)
            try add(request, target: metadata.id, tenant: metadata.tenant, to: &draft)
            var resource = resource
            let slot = try await extend(&draft, &resource)
            try add(resource, node: bound ? node : nil, uidSlot: slot, to: &draft)
            draft.probes = [.get(requestKey), .get(nameKey)]
            let result = try await core.store.transact(draft.transaction)
            if result.succeeded {
                return (
                    resource.at(result.revision), operation.at(result.revision)
                )
            }
            let there = result.results.map { answer -> StoreEntry? in
                if case .got(let entry) = answer { entry } else { nil }
            }
            if let first = try await firstResult(there[0], requestID: requestID, digest: digest),
                let operation = first.operation
            {
                return (first.resource, operation)
            }
            if there[1] != nil { throw nameTaken(metadata.name) }
            return nil
        }
    }

    /// Changes what was seen.
    ///
    /// - Parameter also: Adds more to the transaction.
    func updateStatus(
        _ id: Identifier<Resource>, also: (Loaded<Resource>, inout Draft) async throws -> Void = { _, _ in },
        change: (inout Resource.Status) throws -> Void
    ) async throws -> Resource {
        try await core.settle("changing the status of \(Resource.kind.rawValue) \(id)") {
            var loaded = try await load(id)
            var status = loaded.status
            try change(&status)
            var draft = Draft()
            try await also(loaded, &draft)
            if status == loaded.status && draft.operations.isEmpty { return loaded.resource }
            draft.replace(
                loaded.statusEntry, try Resource.statusFormat.encode(status, over: loaded.statusEntry.value))
            try await tell(Resource.happenings(loaded.record.spec, from: loaded.status, to: status), loaded, &draft)
            guard try await core.store.transact(draft.transaction).succeeded else { return nil }
            loaded.status = status
            return loaded.resource
        }
    }

    /// Adds events of a resource.
    func tell(_ happenings: [Happening], _ loaded: Loaded<Resource>, _ draft: inout Draft) async throws {
        guard !happenings.isEmpty else { return }
        let target = Resource.eventTarget(loaded.record)
        try await Events(core: core).add(
            happenings, about: target.reference, target.id, tenant: loaded.record.tenant, &draft)
    }

    /// Changes what was seen and stores an operation, in one transaction; recognises a repeat.
    ///
    /// - Parameter node: Who carries it out, by what was read.
    func request(
        _ kind: OperationKind, on id: Identifier<Resource>, node: (Resource.Status) -> NodeID, requestID: String,
        change: (inout Resource.Status) throws -> Void
    ) async throws -> (resource: Resource, operation: Operation) {
        try Request.check(requestID)
        let digest = RecordCoding.digest([Array(kind.rawValue.utf8), Array(id.description.utf8)])
        return try await core.settle("asking for \(kind.rawValue) of \(id)") {
            guard let tenant = try await owner(id) else {
                throw CoveyError.notFound(Resource.kind.rawValue, id.description)
            }
            var (loaded, others) = try await load(tenant, id, with: [KeySpace.request(tenant, requestID)])
            if let first = try await firstResult(others[0], requestID: requestID, digest: digest),
                let operation = first.operation
            {
                return (first.resource, operation)
            }
            let operation = operation(
                kind, on: loaded.resource.metadata, generation: loaded.record.generation, requestID: requestID,
                node: node(loaded.status))
            try change(&loaded.status)
            var draft = Draft()
            draft.replace(
                loaded.statusEntry, try Resource.statusFormat.encode(loaded.status, over: loaded.statusEntry.value))
            let request = Request(id: requestID, digest: digest, operation: operation)
            try add(request, target: id, tenant: tenant, to: &draft)
            let result = try await core.store.transact(draft.transaction)
            return result.succeeded ? (loaded.resource, operation.at(result.revision)) : nil
        }
    }

    /// Removes all keys of a resource in one transaction; idempotent.
    ///
    /// - Parameter also: Adds the keys of this kind.
    func remove(
        _ id: Identifier<Resource>, also: (Loaded<Resource>, inout Draft) async throws -> Void = { _, _ in }
    ) async throws {
        try await core.settle("removing \(Resource.kind.rawValue) \(id)") { () async throws -> Void? in
            guard let tenant = try await owner(id) else { return () }
            let nameless = Resource.kind == .operation
            let loaded: Loaded<Resource>
            do { loaded = try await load(tenant, id).loaded } catch let error as CoveyError
                where error.code == .notFound
            {
                // Removed between the two reads; or only this key is left.
                let keys = [KeySpace.spec(tenant, id), KeySpace.status(tenant, id)]
                let left = Transaction(
                    compares: keys.map { .absent($0) }, success: [.delete(KeySpace.owner(id))])
                return try await core.store.transact(left).succeeded ? () : nil
            }
            var draft = Draft()
            draft.expect(loaded.specEntry)
            draft.expect(loaded.statusEntry)
            draft.delete(loaded.specEntry.key)
            draft.delete(loaded.statusEntry.key)
            draft.delete(KeySpace.owner(id))
            if !nameless { draft.delete(KeySpace.name(Resource.kind, tenant, loaded.record.name)) }
            try await also(loaded, &draft)
            return try await core.store.transact(draft.transaction).succeeded ? () : nil
        }
    }

    func nameTaken(_ name: String) -> CoveyError {
        let noun = Resource.kind.rawValue
        return CoveyError(
            .conflict, "\(noun) \(name) exists already",
            remedy: "choose another name, or remove it with `covey \(noun) rm \(name)`",
            resource: ResourceReference(noun, name))
    }
}

extension StoredResource {
    /// The resource with the revision that wrote its spec.
    func at(_ revision: Revision) -> Self {
        var metadata = metadata
        metadata.revision = revision.number
        return Self(metadata: metadata, spec: spec, status: status)
    }
}
