internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Taps of the network namespace that the calling thread is in.
enum Tap {
    /// Opens a tap by its name. Blocks. Errors: ``ErrorCode/notFound`` where there is none, ``ErrorCode/conflict``
    /// where another program has it, ``ErrorCode/unsupported`` where the host has no taps.
    static func open(_ name: String) throws(CoveyError) -> FileDescriptor {
        do throws(SystemError) {
            return FileDescriptor(owning: try check("TUNSETIFF", name) { covey_open_tap(name) })
        } catch {
            switch error.errno {
            case ENODEV:
                throw CoveyError(.notFound, "the tap \(name) of the machine's network is gone", retryable: true)
            case EBUSY:
                throw CoveyError(
                    .conflict, "another program has the tap \(name) open", remedy: "ip tuntap show; end that program")
            case EINVAL: throw CoveyError(.conflict, "\(name) is no tap: something else has its name")
            case ENOENT, ENXIO:
                throw CoveyError(
                    .unsupported, "this host has no taps: there is no /dev/net/tun", remedy: "modprobe tun")
            case _: throw error.coveyError.with(context: "the machine's network interface cannot be opened")
            }
        }
    }
}
