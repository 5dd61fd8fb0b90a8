package import CoveyModel

/// Which machine has a volume stands in both specs, and one transaction that compares both changes both.
extension Volumes {
    private var machines: ResourceTable<VirtualMachine> { ResourceTable(core: core) }
    private var volumes: ResourceTable<Volume> { ResourceTable(core: core) }

    /// So many volumes fit into a machine: its bus has no room for more disks.
    package static let limit = 12

    /// Gives a volume to a machine, which sees it from its next start on; idempotent.
    ///
    /// - Parameter mount: How the machine sees it; its ``VolumeMount/volumeID`` is set here.
    /// - Throws: ``ErrorCode/conflict`` where another machine has it and one of the two may write, where it is not
    ///   ready or on another node, where the machine is being deleted, has another volume there, or has it otherwise;
    ///   ``ErrorCode/exhausted`` where the machine has too many.
    package func attach(
        _ id: VolumeID, to machine: MachineID, as mount: VolumeMount
    ) async throws -> (volume: Volume, machine: VirtualMachine) {
        var wanted = mount
        wanted.volumeID = id
        return try await core.settle("attaching volume \(id)") {
            var loaded = try await machines.load(machine)
            let name = loaded.record.name
            if loaded.record.spec.volumes.contains(where: { $0.volumeID == id && $0.sameUse(wanted) }) {
                return (try await volumes.load(id).resource, loaded.resource)
            }
            guard !loaded.record.spec.deleting else {
                throw CoveyError(
                    .conflict, "vm \(name) is being deleted", resource: ResourceReference("vm", name))
            }
            if let same = loaded.record.spec.volumes.first(where: { $0.path == wanted.path }), same.volumeID != id {
                throw CoveyError(
                    .conflict, "vm \(name) has volume \(same.volume) at \(same.path) already",
                    remedy: "choose another path", resource: ResourceReference("vm", name))
            }
            if loaded.record.spec.scratch?.path == wanted.path {
                throw CoveyError(
                    .conflict, "vm \(name) has its scratch disk at \(wanted.path)", remedy: "choose another path",
                    resource: ResourceReference("vm", name))
            }
            guard loaded.record.spec.volumes.count < Volumes.limit else {
                throw CoveyError(
                    .exhausted, "vm \(name) has \(Volumes.limit) volumes, and no room for another",
                    remedy: "detach one first", resource: ResourceReference("vm", name))
            }
            var draft = Draft()
            loaded.record.spec.volumes.append(wanted)
            let volume = try await give(wanted, to: machine, name: name, node: loaded.record.node, &draft)
            try change(&loaded, &draft)
            let told = Happening(
                .volumeAttached, "volume \(volume.metadata.name) at \(wanted.path)", detail: id.description)
            try await machines.tell([told], loaded, &draft)
            let result = try await core.store.transact(draft.transaction)
            guard result.succeeded else { return nil }
            return (volume.at(result.revision), loaded.resource.at(result.revision))
        }
    }

    /// Takes a volume from a machine.
    ///
    /// - Throws: ``ErrorCode/notFound`` where the machine has it not; ``ErrorCode/conflict`` while the machine runs.
    package func detach(
        _ id: VolumeID, from machine: MachineID, requestID: String
    ) async throws -> (volume: Volume, machine: VirtualMachine) {
        try Request.check(requestID)
        let digest = RecordCoding.digest(["detach", id.description, machine.description].map { Array($0.utf8) })
        return try await core.settle("detaching volume \(id)") {
            guard let tenant = try await volumes.owner(id) else { throw CoveyError.notFound("volume", id.description) }
            let (present, others) = try await volumes.load(tenant, id, with: [KeySpace.request(tenant, requestID)])
            var loaded = try await machines.load(machine)
            if try await volumes.firstResult(others[0], requestID: requestID, digest: digest) != nil {
                return (present.resource, loaded.resource)
            }
            let (name, volumeName) = (loaded.record.name, present.record.name)
            guard loaded.record.spec.volumes.contains(where: { $0.volumeID == id }) else {
                throw CoveyError(
                    .notFound, "volume \(volumeName) is not attached to vm \(name)",
                    remedy: "see which machines have it: covey volume inspect \(volumeName)",
                    resource: ResourceReference("volume", volumeName))
            }
            guard !loaded.status.mayUse(id) else {
                throw CoveyError(
                    .conflict, "vm \(name) is \(loaded.status.phase.rawValue), and may be using volume \(volumeName)",
                    remedy: "disks cannot be unplugged from a running machine; stop it first: covey vm stop \(name)",
                    resource: ResourceReference("vm", name))
            }
            var draft = Draft()
            loaded.record.spec.volumes.removeAll { $0.volumeID == id }
            try change(&loaded, &draft)
            // A start that begins meanwhile has changed it.
            draft.expect(loaded.statusEntry)
            let volume = try take(present, from: machine, &draft)
            let told = Happening(.volumeDetached, "volume \(volumeName)", detail: id.description)
            try await machines.tell([told], loaded, &draft)
            try volumes.add(
                Request(id: requestID, digest: digest, operation: nil), target: id, tenant: tenant, to: &draft)
            let result = try await core.store.transact(draft.transaction)
            guard result.succeeded else { return nil }
            return (volume.at(result.revision), loaded.resource.at(result.revision))
        }
    }

    /// Adds what gives a volume to a machine. Errors: ``ErrorCode/conflict`` where it cannot have it.
    @discardableResult
    func give(
        _ mount: VolumeMount, to machine: MachineID, name: String, node: NodeID?, _ draft: inout Draft
    ) async throws -> Volume {
        guard let id = mount.volumeID else {
            throw CoveyError(.internalError, "volume \(mount.volume) was not resolved")
        }
        var loaded = try await volumes.load(id)
        let volume = loaded.record.name
        let resource = ResourceReference("volume", volume)
        try Volumes.refuseDeleting(volume, loaded.record.spec)
        guard loaded.status.state == .ready else {
            throw CoveyError(
                .conflict, "volume \(volume) is \(loaded.status.state.rawValue)",
                remedy: "wait until it is ready: covey volume inspect \(volume)", resource: resource)
        }
        guard loaded.status.node == node || node == nil else {
            let place = try await Nodes(core: core).name(of: loaded.status.node)
            throw CoveyError(
                .conflict, "volume \(volume) lies on node \(place), and vm \(name) runs on another one",
                remedy: "make the machine there: through the daemon of node \(place)", resource: resource)
        }
        if loaded.record.spec.attachments.contains(where: { $0.machine == machine }) {
            throw CoveyError(
                .conflict, "volume \(volume) is attached to vm \(name) already",
                remedy: "detach it first: covey volume detach \(volume) \(name)", resource: resource)
        }
        if let other = loaded.record.spec.attachments.first(where: { !$0.readOnly || !mount.readOnly }) {
            throw CoveyError(
                .conflict,
                "volume \(volume) is attached to vm \(other.name)\(other.readOnly ? ", read-only" : ""), "
                    + "and only one machine may have a volume that it writes to",
                remedy: other.readOnly
                    ? "attach it read-only (\(volume):\(mount.path):ro), or make a copy: "
                        + "covey volume snapshot \(volume) NEW"
                    : "detach it there (covey volume detach \(volume) \(other.name)), or make a copy: "
                        + "covey volume snapshot \(volume) NEW", resource: resource)
        }
        loaded.record.spec.attachments.append(
            VolumeAttachment(machine: machine, name: name, path: mount.path, readOnly: mount.readOnly))
        loaded.record.generation += 1
        draft.expect(loaded.statusEntry)
        draft.replace(loaded.specEntry, try Volume.specFormat.encode(loaded.record, over: loaded.specEntry.value))
        return loaded.resource
    }

    /// Adds what takes a machine's volumes from it, for a machine that is gone.
    func takeAll(_ mounts: [VolumeMount], from machine: MachineID, _ draft: inout Draft) async throws {
        for id in mounts.compactMap(\.volumeID) {
            do {
                let loaded = try await volumes.load(id)
                if loaded.record.spec.attachments.contains(where: { $0.machine == machine }) {
                    _ = try take(loaded, from: machine, &draft)
                }
            } catch let error as CoveyError where error.code == .notFound {
                continue
            }
        }
    }

    /// Adds a machine's new name to the volumes that it has.
    func rename(
        _ machine: MachineID, to name: String, in mounts: [VolumeMount], _ draft: inout Draft
    ) async throws {
        for id in mounts.compactMap(\.volumeID) {
            var loaded = try await volumes.load(id)
            guard let index = loaded.record.spec.attachments.firstIndex(where: { $0.machine == machine }) else {
                continue
            }
            loaded.record.spec.attachments[index].name = name
            loaded.record.generation += 1
            draft.replace(loaded.specEntry, try Volume.specFormat.encode(loaded.record, over: loaded.specEntry.value))
        }
    }

    private func take(
        _ loaded: Loaded<Volume>, from machine: MachineID, _ draft: inout Draft
    ) throws -> Volume {
        var loaded = loaded
        loaded.record.spec.attachments.removeAll { $0.machine == machine }
        loaded.record.generation += 1
        draft.replace(loaded.specEntry, try Volume.specFormat.encode(loaded.record, over: loaded.specEntry.value))
        return loaded.resource
    }

    /// Adds a machine's changed spec, and wakes its node.
    private func change(_ loaded: inout Loaded<VirtualMachine>, _ draft: inout Draft) throws {
        loaded.record.generation += 1
        draft.replace(
            loaded.specEntry, try VirtualMachine.specFormat.encode(loaded.record, over: loaded.specEntry.value))
        guard let node = loaded.record.node else { return }
        let binding = BindingRecord(tenant: loaded.record.tenant, generation: loaded.record.generation)
        draft.put(KeySpace.binding(node, loaded.record.id), try BindingRecord.format.encode(binding))
    }
}

extension VolumeMount {
    /// Whether two mounts of one volume are the same to a machine.
    fileprivate func sameUse(_ other: VolumeMount) -> Bool { path == other.path && readOnly == other.readOnly }
}

extension MachineStatus {
    /// Whether a VMM of the machine may have a volume open, or be about to.
    fileprivate func mayUse(_ id: VolumeID) -> Bool {
        switch phase {
        case .pending, .stopped, .failed: false
        case .running, .paused: volumes.contains(id)
        case .scheduled, .preparing, .starting, .stopping, .deleting, .unknown: true
        }
    }
}

extension MachinePhase {
    /// Whether no VMM has a machine's disks open, and none is about to.
    package var holdsNothing: Bool {
        switch self {
        case .pending, .stopped, .failed: true
        case .scheduled, .preparing, .starting, .running, .paused, .stopping, .deleting, .unknown: false
        }
    }
}
