internal import CoveyModel

/// What stands under a resource's `spec` key.
struct SpecRecord<Subject: StoredResource>: Codable, Sendable {
    var id: Identifier<Subject>
    var name: String
    var tenant: String
    var labels: [String: String]
    var createdAt: Timestamp
    var generation: Int64
    /// The node that it is bound to; machines have one.
    var node: NodeID?
    /// The machine's uid slot on its node.
    var uidSlot: Int?
    var spec: Subject.Spec

    /// The metadata with the revision that the record was read at.
    func metadata(_ revision: Revision) -> Metadata<Subject> {
        Metadata(
            id: id, name: name, tenant: tenant, labels: labels, createdAt: createdAt, generation: generation,
            revision: revision.number)
    }
}

/// A resource with a spec and a status under keys of their own.
protocol StoredResource: Sendable {
    associatedtype Spec: Codable & Hashable & Sendable
    associatedtype Status: Codable & Hashable & Sendable

    static var kind: ResourceKind { get }

    /// What a change of what was seen tells.
    static func happenings(_ spec: Spec, from old: Status, to new: Status) -> [Happening]
    /// What events of it are about.
    static func eventTarget(_ record: SpecRecord<Self>) -> (reference: ResourceReference, id: String)

    var metadata: Metadata<Self> { get }
    var spec: Spec { get set }
    var status: Status { get set }

    init(metadata: Metadata<Self>, spec: Spec, status: Status)
}

extension StoredResource {
    static func happenings(_ spec: Spec, from old: Status, to new: Status) -> [Happening] { [] }
    static func eventTarget(_ record: SpecRecord<Self>) -> (reference: ResourceReference, id: String) {
        (ResourceReference(kind.rawValue, record.name), record.id.description)
    }

    static var specFormat: RecordFormat<SpecRecord<Self>> { RecordFormat("\(kind.rawValue).spec") }
    static var statusFormat: RecordFormat<Status> { RecordFormat("\(kind.rawValue).status") }
}

extension VirtualMachine: StoredResource {
    static var kind: ResourceKind { .machine }
    static func happenings(_ spec: MachineSpec, from old: MachineStatus, to new: MachineStatus) -> [Happening] {
        new.happenings(since: old)
    }
}

extension Image: StoredResource {
    static var kind: ResourceKind { .image }
    static func happenings(_ spec: ImageSpec, from old: ImageStatus, to new: ImageStatus) -> [Happening] {
        new.happenings(since: old)
    }
}

extension Kernel: StoredResource {
    static var kind: ResourceKind { .kernel }
}

extension Volume: StoredResource {
    static var kind: ResourceKind { .volume }
}

extension Network: StoredResource {
    static var kind: ResourceKind { .network }
}

extension Operation: StoredResource {
    static var kind: ResourceKind { .operation }
    static func happenings(_ spec: OperationSpec, from old: OperationStatus, to new: OperationStatus) -> [Happening] {
        new.happenings(since: old, spec.kind)
    }
    static func eventTarget(_ record: SpecRecord<Operation>) -> (reference: ResourceReference, id: String) {
        (record.spec.target, record.spec.targetID)
    }
}

/// What stands under a node's key of a machine; rewritten whenever what is wanted of the machine changes.
struct BindingRecord: Codable, Hashable, Sendable {
    var tenant: String
    var generation: Int64

    static let format = RecordFormat<BindingRecord>("node.vm")
}

/// What stands under an address that a machine has.
struct AddressRecord: Codable, Hashable, Sendable {
    var machine: MachineID
    /// Which of its interfaces has it, from 0.
    var interface: Int

    static let format = RecordFormat<AddressRecord>("addr")
}

/// What stands under an address that a machine had, as long as nobody else may have it.
struct RestRecord: Codable, Hashable, Sendable {
    var machine: MachineID
    var freedAt: Timestamp

    static let format = RecordFormat<RestRecord>("rest")

    /// Whether it may be given again; a clock that was put back does not keep it for longer.
    func isOver(_ now: Timestamp) -> Bool {
        let since = now.since(freedAt)
        return since >= Networks.rest || since <= .zero - Networks.rest
    }
}

/// The blocks of all networks of the store: whoever makes or removes a network rewrites it, so that no two overlap.
struct BlocksRecord: Codable, Hashable, Sendable {
    struct Entry: Codable, Hashable, Sendable {
        var network: NetworkID
        var tenant: String
        var name: String
        var block: AddressBlock
        var block6: AddressBlock?
    }

    var networks: [Entry]

    static let format = RecordFormat<BlocksRecord>("networks.blocks")
}

/// What stands under a request id.
struct RequestRecord: Codable, Hashable, Sendable {
    /// The operation that it made; nil for a change without one.
    var operation: OperationID?
    /// The id of what it made or changed.
    var target: String
    /// Tells its content from another's.
    var digest: String
    var createdAt: Timestamp

    static let format = RecordFormat<RequestRecord>("request")
}

/// What stands under a node's key.
struct NodeRecord: Codable, Sendable {
    var id: NodeID
    var name: String
    var tenant: String
    var labels: [String: String]
    var createdAt: Timestamp
    var status: NodeStatus

    static let format = RecordFormat<NodeRecord>("node")
}

/// Which programs may open the store.
struct StoreFormat: Codable, Hashable, Sendable {
    /// The oldest format number that a program has to know.
    var oldest: Int
    /// The version of the program that set it, for the remedy.
    var program: String

    static let format = RecordFormat<StoreFormat>("meta.format")
    /// The number that this program knows.
    static let current = 1
}

extension Run {
    static let format = RecordFormat<Run>("node.run")
}
