internal import CCovey
internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The disks of a machine beside its root: their names, and where they are seen. It remembers nothing: the kernel knows
/// what is mounted.
enum MachineDisks {
    /// Mounts disks, those nearer to the root first; what is mounted already stays.
    /// Errors: what could not be put where, and why.
    static func mount(_ mounts: [GuestMount]) throws(CoveyError) {
        for mount in mounts.sorted(by: { ($0.path.utf8.count, $0.path) < ($1.path.utf8.count, $1.path) }) {
            do throws(SystemError) {
                try put(mount)
            } catch {
                throw CoveyError(
                    .failure, "the disk \(mount.serial) could not be put at \(mount.path): \(error)",
                    remedy: error.isErrno(EROFS)
                        ? "it was not unmounted in order; attach it to a machine that may write, and start that once"
                        : "look at the machine's console (covey logs --console)")
            }
        }
    }

    private static func put(_ mount: GuestMount) throws(SystemError) {
        let device = try MachineBoot.awaitDisk(mount.serial)
        switch mount.content {
        case .raw:
            try makeFolder(parentFolder(mount.path), mode: 0o755)
            if (try? FileFacts(mount.path))?.kind == .link { try removeFile(mount.path) }
            try check("symlink", mount.path) { symlink(device, mount.path) }
        case .ext4:
            if mounted().contains(where: { $0.device == device && $0.path == mount.path }) { return }
            try makeFolder(mount.path, mode: 0o755)
            try mountFileSystem(device, "ext4", mount.path, mount.readOnly ? COVEY_MOUNT_READ_ONLY : 0)
            guard !mount.readOnly else { return }
            attempt { () throws(SystemError) in try FileSystemGrowth.run(disk: device, mountedAt: mount.path) }
        }
    }

    /// Disks that are mounted somewhere but at the root, in the order in which they were.
    private static func mounted() -> [(device: String, path: String)] {
        ((try? readText("/proc/self/mounts")) ?? "").split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ").map { String($0) }
            guard parts.count > 2, parts[0].hasPrefix("/dev/vd"), parts[1] != "/" else { return nil }
            return (parts[0], parts[1])
        }
    }

    /// Unmounts what is mounted, once nothing of the machine's runs any more; what is still in use becomes read-only,
    /// so that its journal is empty, too.
    static func settle() {
        for (_, path) in mounted().reversed() where covey_unmount(path, 0) != 0 {
            attempt { () throws(SystemError) in
                try mountFileSystem("none", nil, path, COVEY_MOUNT_REMOUNT | COVEY_MOUNT_READ_ONLY)
            }
        }
    }

    /// Makes `/dev/disk/by-id/virtio-SERIAL` for every disk, as udev would where there is one.
    static func nameDevices() {
        for disk in (try? listFolder("/sys/block")) ?? [] {
            guard let serial = (try? readText("/sys/block/\(disk)/serial"))?.trimmed, !serial.isEmpty else { continue }
            attempt { () throws(SystemError) in
                try makeFolder("/dev/disk/by-id", mode: 0o755)
                let name = "/dev/disk/by-id/virtio-\(serial)"
                if !fileExists(name) { try check("symlink", name) { symlink("../../\(disk)", name) } }
            }
        }
    }
}
