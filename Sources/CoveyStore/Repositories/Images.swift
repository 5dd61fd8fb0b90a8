package import CoveyModel

/// Images. As ``Machines``, without nodes.
package struct Images: Sendable {
    /// Asks for an image, with its operation, in one transaction.
    /// Errors: ``ErrorCode/conflict`` for a name that is taken or a request id that was used for something else.
    package func create(
        _ tenant: Tenant, name: String, labels: [String: String] = [:], spec: ImageSpec, node: NodeID,
        requestID: String, kind: OperationKind = .buildImage
    ) async throws -> (image: Image, operation: Operation) { throw CoveyError(.unsupported, "not written") }

    /// An image by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: ImageID) async throws -> Image { throw CoveyError(.unsupported, "not written") }

    /// An image by name, id or unambiguous part of an id. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Image {
        throw CoveyError(.unsupported, "not written")
    }

    /// The images of a tenant, or of all (nil), that have all the labels.
    package func list(_ tenant: Tenant? = nil, labels: [String: String] = [:]) async throws -> Listing<Image> {
        throw CoveyError(.unsupported, "not written")
    }

    /// Changes what was seen. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: ImageID, change: @Sendable (inout ImageStatus) throws -> Void
    ) async throws -> Image { throw CoveyError(.unsupported, "not written") }

    /// Marks an image as to be deleted (``ArtifactState/deleting``), with its operation, in one transaction.
    package func requestRemoval(
        _ id: ImageID, node: NodeID, requestID: String
    ) async throws -> (image: Image, operation: Operation) { throw CoveyError(.unsupported, "not written") }

    /// Removes all keys of an image in one transaction; idempotent.
    package func remove(_ id: ImageID) async throws { throw CoveyError(.unsupported, "not written") }

    /// The images of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Image> { ChangeStream { nil } }
}
