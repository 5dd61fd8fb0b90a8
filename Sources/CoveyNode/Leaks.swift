internal import CoveyImages
package import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM

/// What lies in quarantine: it carries this instance's name and no record accounts for it. It is left as it is until
/// somebody asks for its removal.
private struct Quarantine {
    /// What kind of thing it is; its id is the kind, a colon and the name.
    enum Kind: String, CaseIterable {
        case process, folder, sockets, memory, volume, record, handle

        /// Whether it is removed on request; what cannot be read is kept.
        var isRemovable: Bool {
            switch self {
            case .process, .folder, .sockets, .memory, .volume: true
            case .record, .handle: false
            }
        }
    }

    var leaks: [Leak] = []

    mutating func add(_ kind: Kind, _ name: String, at place: String, _ reason: String) {
        leaks.append(Leak(id: "\(kind.rawValue):\(name)", kind: kind.rawValue, name: place, reason: reason))
    }
}

extension NodeAgent {
    /// What is quarantined on this node.
    package func leaks() async throws -> [Leak] {
        let runs = try await host.repositories.runs.list(host.node)
        let machines = try await host.repositories.machines.list(node: host.node)
        let known = Set(machines.items.map { "\($0.metadata.id)" })
        let current = Set(runs.items.map { "\($0.machine)-\($0.generation)" })
        let tails = Set(runs.items.map { "\($0.machine.tail(12))-\($0.generation)" })
        var found = Quarantine()
        for record in machines.setAside + runs.setAside {
            found.add(.record, "\(record.key)", at: "\(record.key)", "the record cannot be read: \(record.reason)")
        }
        for process in try await host.supervisor.processes() where process.name.hasPrefix("vm-") {
            guard !current.contains(String(process.name.dropFirst(3))) else { continue }
            let state = process.end == nil ? "runs" : "has ended"
            found.add(
                .process, process.name, at: "pid \(process.identity.pid)", "a VMM that no record names \(state)")
        }
        let layout = host.layout
        let (folders, memories, sockets) = try await host.pool.run {
            (try listFolder(layout.machines), try listFolder(layout.memory), try listFolder(layout.runs))
        }
        for name in folders {
            guard let id = MachineID(name) else { continue }
            if !known.contains(name) {
                found.add(.folder, name, at: layout.folder(id), "the folder of a machine that no record names")
            } else if case .unreadable(let reason) = HandleFile.read(layout.handle(id)) {
                found.add(.handle, name, at: layout.handle(id), "the handle cannot be read: \(reason)")
            }
        }
        for name in memories where !current.contains(name) {
            found.add(.memory, name, at: "\(layout.memory)/\(name)", "the memory of a run that no record names")
        }
        for name in sockets where !tails.contains(name) {
            found.add(.sockets, name, at: "\(layout.runs)/\(name)", "the sockets of a run that no record names")
        }
        let volumes = try await host.repositories.volumes.list()
        let recorded = Set(volumes.items.map(\.metadata.id))
        for record in volumes.setAside {
            found.add(.record, "\(record.key)", at: "\(record.key)", "the record cannot be read: \(record.reason)")
        }
        for id in try await host.volumes.list() where !recorded.contains(id) {
            // One whose record cannot be read is not lost.
            guard !volumes.setAside.contains(where: { "\($0.key)".contains("\(id)") }) else { continue }
            found.add(.volume, "\(id)", at: host.volumes.place(id), "the content of a volume that no record names")
        }
        return found.leaks
    }

    /// Removes one thing from quarantine by its id. Errors: ``ErrorCode/notFound``; ``ErrorCode/conflict`` for what
    /// is kept because it cannot be read.
    package func purge(_ id: String) async throws {
        guard let leak = try await leaks().first(where: { $0.id == id }),
            let kind = Quarantine.Kind(rawValue: leak.kind)
        else { throw CoveyError.notFound("leak", id, remedy: "covey doctor --leaks lists them") }
        guard kind.isRemovable else {
            throw CoveyError(
                .conflict, "\(id) is kept: \(leak.reason)",
                remedy: "a newer covey may be able to read it; otherwise delete the machine")
        }
        let name = String(id.drop { $0 != ":" }.dropFirst())
        let place = leak.name
        switch kind {
        case .process:
            try await host.supervisor.kill(name)
            try await withDeadline(.seconds(20), "ending \(name)") { [host] in
                _ = try await host.supervisor.waitForExit(name)
            }
            try await host.supervisor.forget(name)
        case .folder, .sockets, .memory: try await host.pool.run { try removeTree(place) }
        case .volume: if let id = VolumeID(name) { try await host.volumes.remove(id) }
        case .record, .handle: break
        }
    }
}
