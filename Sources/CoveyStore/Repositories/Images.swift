package import CoveyModel

/// Images. As ``Machines``, without nodes.
package struct Images: Sendable {
    let core: RepositoryCore
    private var table: ResourceTable<Image> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Asks for an image, with its operation, in one transaction.
    /// Errors: ``ErrorCode/conflict`` for a name that is taken, a request id that was used for something else, or
    /// where the image that it is made of is being deleted.
    package func create(
        _ tenant: Tenant, name: String, labels: [String: String] = [:], spec: ImageSpec, node: NodeID,
        requestID: String, kind: OperationKind = .buildImage
    ) async throws -> (image: Image, operation: Operation) {
        try Names.checkImage(name)
        let metadata = Metadata(
            id: core.ids.next(Image.self), name: name, tenant: tenant.description, labels: labels,
            createdAt: core.now())
        let digest = try core.digest(kind, name, labels, spec)
        do {
            let made = try await table.create(
                Image(metadata: metadata, spec: spec, status: ImageStatus(node: node)), node: node, bound: false,
                requestID: requestID, kind: kind, digest: digest
            ) { draft, _ in
                if let needed = spec.neededImage { try await expectKept(needed, &draft) }
                return nil
            }
            return (made.resource, made.operation)
        } catch let error as CoveyError where spec.neededImage != nil {
            guard let first = try await table.earlier(error, tenant, requestID: requestID, digest: digest) else {
                throw error
            }
            return first
        }
    }

    /// Lets a transaction fail where an image is on its way out, or goes there meanwhile.
    ///
    /// Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict`` where it is being deleted.
    func expectKept(_ id: ImageID, _ draft: inout Draft) async throws {
        let loaded = try await table.load(id)
        guard loaded.status.state != .deleting else {
            throw CoveyError(
                .conflict, "image \(loaded.record.name) is being deleted",
                resource: ResourceReference("image", loaded.record.name))
        }
        draft.expect(loaded.statusEntry)
    }

    /// Takes back that an image is to be deleted; idempotent.
    package func keep(_ id: ImageID) async throws {
        _ = try await table.updateStatus(id) { status in
            guard status.state == .deleting else { return }
            // One that was never made is made now.
            status.state = status.digest == nil ? .pending : .ready
        }
    }

    /// An image by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: ImageID) async throws -> Image {
        try await table.load(id).resource
    }

    /// An image by name, id or unambiguous part of an id. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Image {
        try await table.resolve(tenant, reference).resource
    }

    /// The images of a tenant, or of all (nil), that have all the labels.
    package func list(_ tenant: Tenant? = nil, labels: [String: String] = [:]) async throws -> Listing<Image> {
        try await table.list(tenant, labels: labels)
    }

    /// Changes what was seen. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: ImageID, change: @Sendable (inout ImageStatus) throws -> Void
    ) async throws -> Image {
        try await table.updateStatus(id, change: change)
    }

    /// Says that a node made an image whose record does not say who did; idempotent, and nothing where another was said.
    @discardableResult
    package func claim(_ id: ImageID, for node: NodeID) async throws -> Image {
        try await table.updateStatus(id) { status in
            if status.node == nil { status.node = node }
        }
    }

    /// Marks an image as to be deleted (``ArtifactState/deleting``), with its operation, in one transaction.
    ///
    /// - Parameter node: Who removes it where its record does not say who made it.
    package func requestRemoval(
        _ id: ImageID, node: NodeID, requestID: String
    ) async throws -> (image: Image, operation: Operation) {
        let made = try await table.request(.deleteImage, on: id, node: { $0.node ?? node }, requestID: requestID) {
            $0.state = .deleting
        }
        return (made.resource, made.operation)
    }

    /// Removes all keys of an image in one transaction; idempotent.
    package func remove(_ id: ImageID) async throws {
        try await table.remove(id)
    }

    /// The images of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Image> { table.watch(tenant) }
}
