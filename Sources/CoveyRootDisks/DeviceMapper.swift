internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The kernel's device-mapper. Source: Linux, `include/uapi/linux/dm-ioctl.h`. All calls block.
struct DeviceMapper: ~Copyable {
    /// A part of a mapped device.
    struct Target: Hashable {
        /// Sectors of 512 bytes.
        var sectors: UInt64
        /// `snapshot`, `linear`.
        var type: String
        /// What the target takes.
        var parameters: String
    }

    private let control: FileDescriptor
    private static let attempts = 100

    /// Opens it. Errors: ``ErrorCode/unsupported`` where the host's kernel has none.
    init() throws(CoveyError) { control = try DeviceMapper.open() }

    private static func open() throws(CoveyError) -> FileDescriptor {
        do throws(SystemError) {
            return try openFile("/dev/mapper/control", .readWrite)
        } catch {
            throw CoveyError(
                .unsupported, "the host's kernel has no device-mapper: \(error.reason)",
                remedy: "modprobe dm-snapshot, or use disk.strategy: auto")
        }
    }

    /// The block device of a name; nil where there is none.
    func find(_ name: String) throws(SystemError) -> String? {
        var minor: UInt32 = 0
        if covey_mapper_find(control.raw, name, &minor) == 0 { return DeviceMapper.path(minor) }
        if errno == ENXIO { return nil }
        throw SystemError("ioctl DM_DEV_STATUS", name)
    }

    /// Makes a device of some targets, or nothing. Errors: ``ErrorCode/unsupported`` for a target that the kernel lacks.
    func make(_ name: String, _ targets: [Target]) throws -> String {
        var minor: UInt32 = 0
        try check("ioctl DM_DEV_CREATE", name) { covey_mapper_create(control.raw, name, &minor) }
        do {
            try load(name, targets)
            try check("ioctl DM_DEV_SUSPEND", name) { covey_mapper_resume(control.raw, name) }
        } catch {
            try remove(name)
            throw error
        }
        return DeviceMapper.path(minor)
    }

    private func load(_ name: String, _ targets: [Target]) throws {
        var start: UInt64 = 0
        let table = targets.map { target in
            var entry = covey_mapped_target()
            entry.start = start
            entry.length = target.sectors
            start += target.sectors
            withUnsafeMutableBytes(of: &entry.type) { $0.copyBytes(from: target.type.utf8.prefix(15)) }
            withUnsafeMutableBytes(of: &entry.parameters) { $0.copyBytes(from: target.parameters.utf8.prefix(159)) }
            return entry
        }
        guard covey_mapper_load(control.raw, name, table, table.count) != 0 else { return }
        let error = SystemError("ioctl DM_TABLE_LOAD", name)
        guard error.isErrno(EINVAL) else { throw error }
        let types = targets.map(\.type).joined(separator: " and ")
        throw CoveyError(
            .unsupported, "the host's kernel took no \(types) device", remedy: "modprobe dm-snapshot", cause: error)
    }

    /// Removes a device; idempotent. Waits a little for those who only look at it, as udev does.
    func remove(_ name: String) throws(SystemError) {
        for attempt in 1...DeviceMapper.attempts {
            if covey_mapper_remove(control.raw, name) == 0 || errno == ENXIO { return }
            guard errno == EBUSY, attempt < DeviceMapper.attempts else {
                throw SystemError("ioctl DM_DEV_REMOVE", name)
            }
            // No event tells that a device is closed; the thread is the blocking pool's.
            usleep(20_000)
        }
    }

    private static func path(_ minor: UInt32) -> String { "/dev/dm-\(minor)" }
}

/// The size of a block device in bytes.
func blockSize(_ path: String) throws(SystemError) -> Int64 {
    let device = try openFile(path, .readOnly)
    var bytes: UInt64 = 0
    try check("ioctl BLKGETSIZE64", path) { covey_block_size(device.raw, &bytes) }
    return Int64(clamping: bytes)
}
