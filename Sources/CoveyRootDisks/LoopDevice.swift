internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A file as a block device. The device goes away with its last user: nothing is left of it after a crash.
struct LoopDevice: ~Copyable {
    /// `7:3`, as device-mapper takes it.
    let number: String
    private let descriptor: FileDescriptor

    private static let attempts = 64

    /// Puts a file under a free loop device. Errors: ``ErrorCode/unsupported`` where the host has no loop devices.
    init(_ path: String, readOnly: Bool) throws {
        let file = try openFile(path, readOnly ? .readOnly : .readWrite)
        let control = try LoopDevice.control()
        for _ in 0..<LoopDevice.attempts {
            let free = try check("ioctl LOOP_CTL_GET_FREE") { covey_free_loop(control.raw) }
            let device = try openFile("/dev/loop\(free)", .readWrite)
            // Somebody else may have taken it in between.
            guard try LoopDevice.configure(device.raw, file.raw, readOnly: readOnly, path) else { continue }
            self.init(number: "7:\(free)", descriptor: device)
            return
        }
        throw CoveyError(.exhausted, "no loop device was free for \(path)", retryable: true)
    }

    private init(number: String, descriptor: consuming FileDescriptor) {
        self.number = number
        self.descriptor = descriptor
    }

    private static func control() throws(CoveyError) -> FileDescriptor {
        do throws(SystemError) {
            return try openFile("/dev/loop-control", .readWrite)
        } catch {
            throw CoveyError(.unsupported, "the host has no loop devices: \(error.reason)", remedy: "modprobe loop")
        }
    }

    private static func configure(
        _ device: Int32, _ file: Int32, readOnly: Bool, _ path: String
    ) throws(SystemError) -> Bool {
        if covey_configure_loop(device, file, readOnly ? 1 : 0) == 0 { return true }
        if errno == EBUSY { return false }
        throw SystemError("ioctl LOOP_CONFIGURE", path)
    }
}
