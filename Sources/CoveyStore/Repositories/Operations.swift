package import CoveyModel

/// Operations. They are made by the calls that change what is wanted.
package struct Operations: Sendable {
    /// Finished operations stay so long,
    package static let retention = Duration.seconds(24 * 3600)
    /// and at most so many of them.
    package static let bound = 1000

    /// An operation by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: OperationID) async throws -> Operation { throw CoveyError(.unsupported, "not written") }

    /// An operation by id or unambiguous part of it. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Operation {
        throw CoveyError(.unsupported, "not written")
    }

    /// The operations of a tenant, or of all (nil), oldest first in each tenant.
    package func list(_ tenant: Tenant? = nil) async throws -> Listing<Operation> {
        throw CoveyError(.unsupported, "not written")
    }

    /// The operations of a node that are not final.
    package func listUnfinished(node: NodeID) async throws -> Listing<Operation> {
        throw CoveyError(.unsupported, "not written")
    }

    /// Changes how far it is; a final state stays (``ErrorCode/conflict``), and ``OperationStatus/finishedAt`` is set
    /// with it. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: OperationID, change: @Sendable (inout OperationStatus) throws -> Void
    ) async throws -> Operation { throw CoveyError(.unsupported, "not written") }

    /// Stores the wish to take it back; idempotent. Errors: ``ErrorCode/conflict`` where it is final.
    @discardableResult
    package func requestCancel(_ id: OperationID) async throws -> Operation {
        throw CoveyError(.unsupported, "not written")
    }

    /// Removes finished operations that are older than ``retention`` or beyond ``bound``, and their request ids.
    /// Returns how many.
    @discardableResult
    package func prune() async throws -> Int { throw CoveyError(.unsupported, "not written") }

    /// The operations of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Operation> { ChangeStream { nil } }
}
