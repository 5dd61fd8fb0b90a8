internal import CCovey
internal import CoveySystem
internal import Glibc

/// Taps of the host. Source: Linux, `Documentation/networking/tuntap.rst`. All calls block.
enum TapDevice {
    /// Who may open a tap that belongs to nobody.
    static let root: UInt32 = 0

    /// Makes a tap that stays, runs `prepare` on it first, and leaves nothing where that fails or we are killed in it.
    ///
    /// Errors: `EBUSY` where the name is taken, `ENOENT` and `ENODEV` where the kernel has no tun.
    static func make(_ name: String, owner: UInt32, prepare: () throws -> Void) throws {
        let tun = try openFile("/dev/net/tun", .readWrite)
        try check("ioctl TUNSETIFF", name) { covey_attach_tap(tun.raw, name, 1) }
        try check("ioctl TUNSETOWNER", name) { covey_set_tap_owner(tun.raw, owner) }
        try prepare()
        try check("ioctl TUNSETPERSIST", name) { covey_set_tap_persistence(tun.raw, 1) }
    }

    /// Opens a tap as a VMM does, with virtio headers. Errors: `EBUSY` where a VMM holds it.
    static func open(_ name: String) throws(SystemError) -> FileDescriptor {
        let tun = try openFile("/dev/net/tun", .readWrite)
        try check("ioctl TUNSETIFF", name) { covey_attach_tap(tun.raw, name, 0) }
        return tun
    }

    /// Changes who may open a tap. Errors: `EBUSY` where a VMM holds it.
    static func setOwner(_ name: String, _ owner: UInt32) throws(SystemError) {
        let tap = try open(name)
        try check("ioctl TUNSETOWNER", name) { covey_set_tap_owner(tap.raw, owner) }
    }
}
