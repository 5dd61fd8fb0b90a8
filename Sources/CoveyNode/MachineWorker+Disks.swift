internal import CoveyGuestProtocol
internal import CoveyImages
internal import CoveyModel
internal import CoveyStore
internal import CoveyVMM

/// The disks of a machine beside its root: volumes and scratch.
extension MachineWorker {
    /// How a guest knows its scratch disk.
    private static let scratchSerial = "covey-scratch"

    /// How a guest knows a volume: 20 bytes at most, the same in every machine.
    static func serial(_ id: VolumeID) -> String { "covey-vol-\(id.tail(10))" }

    /// Whether all volumes can be used; where not, a letter comes when that has changed.
    /// Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict`` for one that never will be.
    func volumesReady(_ machine: VirtualMachine) async throws -> Bool {
        for mount in machine.spec.volumes {
            let volume = try await volume(mount)
            switch volume.status.state {
            case .ready: if !mount.readOnly && host.volumeGate.isCopied(volume.metadata.id) { return false }
            case .pending, .building: return false
            case .failed, .deleting:
                throw CoveyError(
                    .conflict, "volume \(mount.volume) is \(volume.status.state.rawValue)",
                    resource: ResourceReference("volume", mount.volume))
            }
        }
        return true
    }

    /// The disks of a run that has begun: from then on nobody else gets them.
    func furtherDisks(_ machine: VirtualMachine) async throws -> [DiskPlan] {
        var disks: [DiskPlan] = []
        if let scratch = machine.spec.scratch {
            let path = host.layout.scratch(id)
            try await host.volumes.makeScratch(at: path, size: scratch.size)
            disks.append(
                DiskPlan(path: path, format: .raw, readOnly: false, serial: MachineWorker.scratchSerial))
        }
        for mount in machine.spec.volumes {
            let volume = try await volume(mount)
            let id = volume.metadata.id
            if !mount.readOnly && host.volumeGate.isCopied(id) {
                throw CoveyError(
                    .conflict, "volume \(mount.volume) is being copied", remedy: "start the machine again",
                    resource: ResourceReference("volume", mount.volume), retryable: true)
            }
            let stored = try await host.volumes.volume(id)
            if mount.readOnly && volume.spec.format == .ext4 && stored.needsRecovery {
                throw CoveyError(
                    .conflict,
                    "volume \(mount.volume) was not unmounted in order, and cannot be read before somebody who may "
                        + "write to it has repaired it",
                    remedy: "attach it to a machine without :ro, start and stop that once",
                    resource: ResourceReference("volume", mount.volume))
            }
            disks.append(
                DiskPlan(
                    path: stored.path, format: .raw, readOnly: mount.readOnly, serial: MachineWorker.serial(id)))
        }
        return disks
    }

    /// Where the guest is to see the disks that its run began with.
    func guestMounts(_ machine: VirtualMachine, _ abilities: GuestAbilities) async throws -> [GuestMount] {
        var mounts: [GuestMount] = []
        if let scratch = machine.spec.scratch {
            mounts.append(
                GuestMount(
                    serial: MachineWorker.scratchSerial, path: scratch.path, content: .ext4, readOnly: false))
        }
        for mount in machine.spec.volumes {
            guard let id = mount.volumeID, machine.status.volumes.contains(id) else { continue }
            let content: GuestMount.Content =
                switch try await volume(mount).spec.format {
                case .ext4: .ext4
                case .raw: .raw
                }
            mounts.append(
                GuestMount(
                    serial: MachineWorker.serial(id), path: mount.path, content: content, readOnly: mount.readOnly))
        }
        guard mounts.isEmpty || abilities.contains(.mounts) else {
            throw CoveyError(
                .unsupported, "the guest agent is too old to mount volumes", remedy: "restart the machine")
        }
        return mounts
    }

    /// A guest that answered and could not be made what it is for never will be in this run: whoever waits for it is
    /// told at once, and a machine that was just made is taken away again.
    func refused(_ error: CoveyError) async throws {
        switch error.code {
        case .invalid, .notFound, .conflict, .denied, .exhausted, .unsupported, .corrupt, .failure, .internalError:
            break
        case .unavailable, .unauthenticated, .deadline, .cancelled, .outcomeUnknown: return
        }
        run?.refused = error
        try await failCreation(error)
    }

    private func volume(_ mount: VolumeMount) async throws -> Volume {
        guard let id = mount.volumeID else {
            throw CoveyError(.internalError, "volume \(mount.volume) was not resolved")
        }
        return try await host.repositories.volumes.get(id)
    }
}
