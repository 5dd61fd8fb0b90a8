package import CoveyModel

/// Kernels. As ``Images``, with one default a tenant.
package struct Kernels: Sendable {
    /// Asks for a kernel, with its operation, in one transaction. It becomes the default where `spec` says so.
    /// Errors: ``ErrorCode/conflict`` for a name that is taken or a request id that was used for something else.
    package func create(
        _ tenant: Tenant, name: String, labels: [String: String] = [:], spec: KernelSpec, node: NodeID,
        requestID: String, kind: OperationKind = .importKernel
    ) async throws -> (kernel: Kernel, operation: Operation) { throw CoveyError(.unsupported, "not written") }

    /// A kernel by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: KernelID) async throws -> Kernel { throw CoveyError(.unsupported, "not written") }

    /// A kernel by name, id or unambiguous part of an id. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Kernel {
        throw CoveyError(.unsupported, "not written")
    }

    /// The kernel of machines that name none; nil where there is none.
    package func getDefault(_ tenant: Tenant) async throws -> Kernel? { throw CoveyError(.unsupported, "not written") }

    /// Makes a kernel the tenant's only default, in one transaction; idempotent.
    @discardableResult
    package func setDefault(_ id: KernelID) async throws -> Kernel { throw CoveyError(.unsupported, "not written") }

    /// The kernels of a tenant, or of all (nil), that have all the labels.
    package func list(_ tenant: Tenant? = nil, labels: [String: String] = [:]) async throws -> Listing<Kernel> {
        throw CoveyError(.unsupported, "not written")
    }

    /// Changes what was seen. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: KernelID, change: @Sendable (inout KernelStatus) throws -> Void
    ) async throws -> Kernel { throw CoveyError(.unsupported, "not written") }

    /// Marks a kernel as to be deleted (``ArtifactState/deleting``), with its operation, in one transaction.
    package func requestRemoval(
        _ id: KernelID, node: NodeID, requestID: String
    ) async throws -> (kernel: Kernel, operation: Operation) { throw CoveyError(.unsupported, "not written") }

    /// Removes all keys of a kernel in one transaction; idempotent. A default is none afterwards.
    package func remove(_ id: KernelID) async throws { throw CoveyError(.unsupported, "not written") }

    /// The kernels of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Kernel> { ChangeStream { nil } }
}
