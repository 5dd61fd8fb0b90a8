package import CoveyModel

/// Machines: what is wanted of them and what was seen.
///
/// A mutating call with a request id can be repeated: the repeat returns the first result, with the resource as it
/// stands now. ``ErrorCode/outcomeUnknown`` is resolved in here by reading back, and thrown only where that fails too.
package struct Machines: Sendable {
    /// Makes a machine bound to a node, with its name, its uid slot and its operation, in one transaction.
    ///
    /// - Parameters:
    ///   - requestID: The caller's request id; a repeat with the same content returns the first result.
    /// - Throws: ``ErrorCode/conflict`` where the name is taken, or the request id was used for something else;
    ///   ``ErrorCode/invalid`` for a bad name; ``ErrorCode/exhausted`` where the node has no uid slot left.
    package func create(
        _ tenant: Tenant, name: String, labels: [String: String] = [:], spec: MachineSpec, node: NodeID,
        requestID: String, kind: OperationKind = .createMachine
    ) async throws -> (machine: VirtualMachine, operation: Operation) { throw CoveyError(.unsupported, "not written") }

    /// A machine by id. Errors: ``ErrorCode/notFound``; ``ErrorCode/corrupt`` for a record that cannot be read.
    package func get(_ id: MachineID) async throws -> VirtualMachine { throw CoveyError(.unsupported, "not written") }

    /// A machine by name, id, or an unambiguous beginning (8 digits or more) or end of an id.
    ///
    /// Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict`` for an ambiguous one, ``ErrorCode/corrupt``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> VirtualMachine {
        throw CoveyError(.unsupported, "not written")
    }

    /// The machines of a tenant, or of all (nil), that have all the labels.
    package func list(
        _ tenant: Tenant? = nil, labels: [String: String] = [:]
    ) async throws -> Listing<VirtualMachine> { throw CoveyError(.unsupported, "not written") }

    /// The machines bound to a node.
    package func list(node: NodeID) async throws -> Listing<VirtualMachine> {
        throw CoveyError(.unsupported, "not written")
    }

    /// The machine's uid slot on its node, from 0; its own as long as the machine exists.
    package func uidSlot(_ id: MachineID) async throws -> Int { throw CoveyError(.unsupported, "not written") }

    /// Changes what is wanted, raises the generation, rewrites the node's binding (so the node's watch wakes up), and
    /// stores an operation where `kind` is given, all in one transaction. A change that changes nothing, without
    /// `kind`, writes nothing.
    ///
    /// - Parameters:
    ///   - expected: The spec's revision that the caller has seen; nil takes any.
    ///   - requestID: The caller's request id; nil makes one where `kind` is given.
    ///   - kind: The operation to store; nil stores none.
    ///   - parameters: What tells this request from others of its kind on the machine, for recognising a repeat.
    ///   - change: May be called several times; what it throws is thrown.
    /// - Throws: ``ErrorCode/notFound``; ``ErrorCode/conflict`` for another revision than `expected`, for a request id
    ///   that was used for something else, or after too many losses against others.
    package func updateSpec(
        _ id: MachineID, expected: Revision? = nil, requestID: String? = nil, kind: OperationKind? = nil,
        parameters: String = "", change: @Sendable (inout MachineSpec) throws -> Void
    ) async throws -> (machine: VirtualMachine, operation: Operation?) { throw CoveyError(.unsupported, "not written") }

    /// Changes what was seen; the spec's revision stays. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: MachineID, change: @Sendable (inout MachineStatus) throws -> Void
    ) async throws -> VirtualMachine { throw CoveyError(.unsupported, "not written") }

    /// Removes all keys of a machine in one transaction: records, name, binding, uid slot, finished runs; idempotent.
    /// Its operations stay until they are pruned.
    ///
    /// Errors: ``ErrorCode/conflict`` while a run of it is not finished.
    package func remove(_ id: MachineID) async throws { throw CoveyError(.unsupported, "not written") }

    /// The machines of a node: changes of what is wanted, not of what was seen.
    package func watch(node: NodeID) -> ChangeStream<VirtualMachine> { ChangeStream { nil } }

    /// The machines of a tenant, or of all (nil): changes of what is wanted and of what was seen.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<VirtualMachine> { ChangeStream { nil } }
}
