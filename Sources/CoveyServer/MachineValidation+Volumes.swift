internal import CoveyModel
internal import CoveyStore

extension MachineValidation {
    private static let leastVolume = ByteCount.mebibytes(16)
    private static let mostVolume = ByteCount.gibibytes(64 * 1024)
    /// What the agent and the kernel keep for themselves.
    private static let kept = ["/proc", "/sys", "/dev", "/run/covey", "/lib/modules", "/usr/lib/modules"]

    /// A path without slashes at its end.
    static func plain(_ path: String) -> String {
        var path = path
        while path.utf8.count > 1 && path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// Whether volumes and scratch can be what a machine sees.
    func check(volumes: [VolumeMount], scratch: ScratchDisk?) throws(CoveyError) {
        guard volumes.count <= Volumes.limit else {
            throw CoveyError(
                .invalid, "\(volumes.count) volumes are too many for a machine", remedy: "use at most \(Volumes.limit)")
        }
        var paths: Set<String> = []
        var names: Set<String> = []
        for mount in volumes {
            guard !mount.volume.isEmpty else { throw CoveyError(.invalid, "a volume has no name") }
            try check(path: mount.path, of: "volume \(mount.volume)", isDevice: true)
            guard names.insert(mount.volume).inserted else { throw MachineValidation.twice(mount.volume) }
            guard paths.insert(MachineValidation.plain(mount.path)).inserted else {
                throw MachineValidation.taken(mount.path)
            }
        }
        guard let scratch else { return }
        try check(size: scratch.size, of: "scratch disk")
        try check(path: scratch.path, of: "scratch disk", isDevice: false)
        if paths.contains(MachineValidation.plain(scratch.path)) { throw MachineValidation.taken(scratch.path) }
    }

    /// Whether something can be seen at a path in a machine.
    ///
    /// - Parameter isDevice: Whether it may be a link to a device, which has a place below `/dev`.
    func check(path: String, of what: String, isDevice: Bool) throws(CoveyError) {
        let plain = MachineValidation.plain(path)
        let parts = plain.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        let valid =
            plain.hasPrefix("/") && plain.utf8.count <= 1024
            && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255 }
            && plain.unicodeScalars.allSatisfy {
                $0.value > 32 && $0.value != 127 && !"\\:,".unicodeScalars.contains($0)
            }
        guard valid else {
            throw CoveyError(
                .invalid, "the path \"\(path)\" of \(what) is not valid",
                remedy: "write it from / on, such as /data, without spaces and ..")
        }
        let keeper = MachineValidation.kept.first { plain == $0 || plain.hasPrefix("\($0)/") }
        guard plain != "/", plain != "/run", keeper == nil || (isDevice && keeper == "/dev" && plain != "/dev") else {
            throw CoveyError(
                .invalid, "the path \(plain) of \(what) belongs to the machine itself",
                remedy: "choose another, such as /data")
        }
    }

    /// Whether a path fits a volume: a file system is not mounted below `/dev`.
    func check(path: String, of volume: Volume) throws(CoveyError) {
        switch volume.spec.format {
        case .raw: try check(path: path, of: "volume \(volume.metadata.name)", isDevice: true)
        case .ext4: try check(path: path, of: "volume \(volume.metadata.name)", isDevice: false)
        }
    }

    /// A volume's size in whole MiB. Errors: ``ErrorCode/invalid`` for one out of range.
    func volumeSize(_ size: ByteCount) throws(CoveyError) -> ByteCount {
        try check(size: size, of: "volume")
        return ByteCount(((size.bytes + (1 << 20) - 1) >> 20) << 20)
    }

    static func twice(_ volume: String) -> CoveyError {
        CoveyError(.invalid, "volume \(volume) is named twice", remedy: "name each volume once")
    }

    private static func taken(_ path: String) -> CoveyError {
        CoveyError(.invalid, "two disks want to be at \(plain(path))", remedy: "give each a path of its own")
    }

    private func check(size: ByteCount, of what: String) throws(CoveyError) {
        guard size >= MachineValidation.leastVolume, size <= MachineValidation.mostVolume else {
            throw CoveyError(.invalid, "a \(what) of \(size) is out of range", remedy: "use 16M to 64T")
        }
    }
}

extension MachineResolution {
    /// The volumes that names mean.
    func volumes(_ mounts: [VolumeMount], tenant: Tenant) async throws -> [VolumeMount] {
        var found: [VolumeMount] = []
        for mount in mounts {
            let volume = try await context.repositories.volumes.named(mount.volume, tenant)
            try context.validation.check(path: mount.path, of: volume)
            if found.contains(where: { $0.volumeID == volume.metadata.id }) {
                throw MachineValidation.twice(volume.metadata.name)
            }
            found.append(
                VolumeMount(
                    volume: volume.metadata.name, volumeID: volume.metadata.id, path: mount.path,
                    readOnly: mount.readOnly))
        }
        return found
    }
}

extension Volumes {
    /// A volume as a caller names it.
    func named(_ name: String, _ tenant: Tenant) async throws -> Volume {
        guard !name.isEmpty else { throw CoveyError(.invalid, "the request names no volume") }
        do {
            return try await get(tenant, name)
        } catch let error as CoveyError where error.code == .notFound {
            throw CoveyError.notFound(
                "volume", name,
                remedy: "see which there are (covey volume ls), or make one: covey volume create \(name) --size 1G")
        }
    }
}
