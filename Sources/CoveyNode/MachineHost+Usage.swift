internal import CoveyImages
package import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Glibc

/// What the node's disk is used for, and blobs that nothing needs.
extension MachineHost {
    /// What all takes, and what would go if the images `without` did.
    package func usage(without: Set<ImageID>) async throws -> NodeUsage {
        let kept = try await images.usage(without: without, awaited: try await imagesAreAwaited())
        let machines = try await repositories.machines.list()
        // What cannot be read may use anything.
        let isKnown = machines.setAside.isEmpty
        let figures = [
            kept.images, kept.blobs, try await kernelUsage(machines.items, isKnown),
            try await volumeUsage(machines.items, isKnown), try await machineUsage(machines.items),
        ]
        return NodeUsage(figures: figures, items: kept.items)
    }

    /// Removes blobs that no image and no pull needs. What is half here of an image that is still to come is gone on
    /// with, so that nothing is removed while one is.
    package func collectBlobs() async throws {
        if try await !imagesAreAwaited() { try await images.collect() }
    }

    private func imagesAreAwaited() async throws -> Bool {
        let listing = try await repositories.images.list()
        // What other nodes make needs nothing here.
        let mine = listing.items.filter { $0.status.node == nil || $0.status.node == node }
        return !listing.setAside.isEmpty || copies.isWorking || mine.contains { $0.status.state.isAwaited }
    }

    private func kernelUsage(_ machines: [VirtualMachine], _ isKnown: Bool) async throws -> DiskUsage {
        let used = Set(machines.compactMap(\.spec.kernelID))
        let named = Set(try await repositories.images.list().items.compactMap(\.spec.kernel))
        var usage = DiskUsage(kind: .kernels)
        for kernel in try await repositories.kernels.list().items {
            let isNeeded =
                !isKnown || kernel.spec.isDefault || used.contains(kernel.metadata.id)
                || named.contains(kernel.metadata.name)
            guard try await hasKernel(kernel) else { continue }
            let bytes = kernel.status.allocated?.bytes ?? 0
            usage.add(count: 1, size: bytes, allocated: bytes, isNeeded: isNeeded)
        }
        return usage
    }

    /// Whether a kernel takes room here. One of this node's is counted by its record also while it is made.
    private func hasKernel(_ kernel: Kernel) async throws -> Bool {
        if kernel.status.node == nil || kernel.status.node == node { return true }
        do { _ = try await kernels.kernel(kernel.metadata.id) } catch let error as CoveyError
            where error.code == .notFound
        { return false }
        return true
    }

    private func volumeUsage(_ machines: [VirtualMachine], _ isKnown: Bool) async throws -> DiskUsage {
        let used = Set(machines.flatMap { $0.spec.volumes.compactMap(\.volumeID) })
        let loose = try await repositories.volumes.list().items.filter {
            $0.spec.attachments.isEmpty && !used.contains($0.metadata.id)
        }
        let free = isKnown ? Set(loose.map(\.metadata.id)) : []
        var usage = DiskUsage(kind: .volumes)
        for id in try await volumes.list() {
            do {
                let volume = try await volumes.volume(id)
                usage.add(
                    count: 1, size: volume.size.bytes, allocated: volume.allocated.bytes, isNeeded: !free.contains(id))
            } catch let error as CoveyError where error.code == .notFound {
                // Removed since they were listed.
                continue
            }
        }
        return usage
    }

    /// A machine that is stopped could be removed; its disk is what it has.
    private func machineUsage(_ machines: [VirtualMachine]) async throws -> DiskUsage {
        let idle = Set(machines.filter { $0.status.phase == .stopped }.map(\.metadata.id))
        let folder = layout.machines
        return try await pool.run {
            var usage = DiskUsage(kind: .machines)
            for name in fileExists(folder) ? try listFolder(folder) : [] {
                guard let id = MachineID(name) else { continue }
                let (size, allocated) = try measure("\(folder)/\(name)")
                usage.add(count: 1, size: size, allocated: allocated, isNeeded: !idle.contains(id))
            }
            return usage
        }
    }
}

/// The length of all files below a folder, and what they take on disk; what goes meanwhile is not counted. Blocks.
private func measure(_ folder: String) throws(SystemError) -> (size: Int64, allocated: Int64) {
    var total: (size: Int64, allocated: Int64) = (0, 0)
    do throws(SystemError) {
        for name in try listFolder(folder) {
            let path = "\(folder)/\(name)"
            let facts = try FileFacts(path)
            switch facts.kind {
            case .folder:
                let inner = try measure(path)
                total.size += inner.size
                total.allocated += inner.allocated
            case .file:
                total.size += facts.size
                total.allocated += facts.allocated
            case .link, .other: continue
            }
        }
    } catch {
        guard error.isErrno(ENOENT) else { throw error }
    }
    return total
}
