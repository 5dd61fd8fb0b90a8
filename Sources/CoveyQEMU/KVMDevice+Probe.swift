internal import CCovey
internal import CoveySystem
internal import Glibc

extension KVMDevice {
    /// Tries the device as the caller. Blocks for some milliseconds.
    static func probe(_ path: String = "/dev/kvm") -> KVMDevice {
        do throws(SystemError) {
            let device = try openFile(path, .readWrite)
            var information = stat()
            try check("fstat", path) { fstat(device.raw, &information) }
            _ = FileDescriptor(owning: try check("KVM_CREATE_VM", path) { covey_kvm_create_vm(device.raw) })
            return .works(access(information))
        } catch {
            switch error.errno {
            case ENOENT, ENODEV, ENXIO: return .absent
            case EACCES, EPERM: return .forbidden
            case _: return .failing(error.reason)
            }
        }
    }

    private static func access(_ information: stat) -> KVMAccess {
        if information.st_mode & 0o006 == 0o006 { return .everyone }
        if information.st_mode & 0o060 == 0o060 && information.st_gid != 0 { return .group(information.st_gid) }
        return .rootOnly
    }
}
