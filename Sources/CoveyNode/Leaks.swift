internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM

/// Something on the host that carries this instance's name and that no record accounts for. It is left as it is
/// until somebody asks for its removal.
package struct Leak: Hashable, Sendable {
    /// What kind of thing.
    package enum Kind: String, Sendable, CaseIterable { case process, folder, memory, record, handle }

    /// Names it for ``NodeAgent/purge(_:)``.
    package var id: String
    /// What kind of thing it is.
    package var kind: Kind
    /// What is known of it, for people.
    package var description: String
    /// Whether Covey would remove it; a record or handle that cannot be read is kept.
    package var removable: Bool
}

extension NodeAgent {
    /// What is quarantined on this node.
    package func leaks() async throws -> [Leak] {
        let runs = try await host.repositories.runs.list(host.node)
        let machines = try await host.repositories.machines.list(node: host.node)
        let known = Set(machines.items.map { "\($0.metadata.id)" })
        let current = Set(runs.items.map { "\($0.machine)-\($0.generation)" })
        var leaks: [Leak] = []
        for record in machines.setAside + runs.setAside {
            leaks.append(
                Leak(
                    id: "record:\(record.key)", kind: .record,
                    description: "the record cannot be read: \(record.reason)", removable: false))
        }
        for process in try await host.supervisor.processes() where process.name.hasPrefix("vm-") {
            let run = String(process.name.dropFirst(3))
            guard !current.contains(run) else { continue }
            let state = process.end == nil ? "runs as pid \(process.identity.pid)" : "has ended"
            leaks.append(
                Leak(
                    id: "process:\(process.name)", kind: .process,
                    description: "a VMM that no record names \(state)", removable: true))
        }
        let layout = host.layout
        let files = try await host.pool.run {
            (try listFolder(layout.machines), try listFolder(layout.memory), try listFolder(layout.runs))
        }
        for name in files.0 where MachineID(name) != nil && !known.contains(name) {
            leaks.append(
                Leak(
                    id: "folder:\(name)", kind: .folder, description: "the folder of a machine that no record names",
                    removable: true))
        }
        for name in files.0 where known.contains(name) {
            if let id = MachineID(name), case .unreadable(let reason) = HandleFile.read(layout.handle(id)) {
                leaks.append(
                    Leak(
                        id: "handle:\(name)", kind: .handle, description: "the handle cannot be read: \(reason)",
                        removable: false))
            }
        }
        for name in files.1 where !current.contains(name) {
            leaks.append(
                Leak(
                    id: "memory:\(name)", kind: .memory, description: "the memory of a run that no record names",
                    removable: true))
        }
        let tails = Set(runs.items.map { "\($0.machine.tail(12))-\($0.generation)" })
        for name in files.2 where !tails.contains(name) {
            leaks.append(
                Leak(
                    id: "run:\(name)", kind: .folder, description: "the sockets of a run that no record names",
                    removable: true))
        }
        return leaks
    }

    /// Removes one leak by its id. Errors: ``ErrorCode/notFound``; ``ErrorCode/conflict`` for one that is kept.
    package func purge(_ id: String) async throws {
        guard let leak = try await leaks().first(where: { $0.id == id }) else {
            throw CoveyError.notFound("leak", id, remedy: "covey doctor --leaks lists them")
        }
        guard leak.removable else {
            throw CoveyError(
                .conflict, "\(id) is kept: \(leak.description)",
                remedy: "a newer covey may be able to read it; otherwise delete the machine")
        }
        let name = String(id.drop { $0 != ":" }.dropFirst())
        let layout = host.layout
        switch leak.kind {
        case .process:
            try await host.supervisor.kill(name)
            try await withDeadline(.seconds(20), "ending \(name)") { [host] in
                _ = try await host.supervisor.waitForExit(name)
            }
            try await host.supervisor.forget(name)
        case .folder:
            let parent = id.hasPrefix("run:") ? layout.runs : layout.machines
            try await host.pool.run { try removeTree("\(parent)/\(name)") }
        case .memory: try await host.pool.run { try removeFile("\(layout.memory)/\(name)") }
        case .record, .handle: break
        }
    }
}
