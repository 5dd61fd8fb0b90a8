internal import CCovey
internal import CoveyModel
internal import CoveyNetwork
internal import CoveySystem
internal import Glibc

/// Sockets that hold published ports, so that no other program is shadowed without knowing. Nothing is read from them:
/// the firewall leads packets to the machine before they would arrive. All calls block.
struct PortHolds: ~Copyable {
    /// A host's port.
    struct Place: Hashable, Comparable, Sendable {
        /// The address, loopback where none was named.
        var address: IPAddress
        /// The port.
        var port: UInt16
        /// The protocol.
        var transport: TransportProtocol

        /// Where a published port is held.
        init(_ port: PublishedPort) {
            address = port.bind ?? .v4(IPv4Address(bits: 0x7F00_0001))
            self.port = port.hostPort
            transport = port.transport
        }

        static func < (a: Place, b: Place) -> Bool {
            (a.address, a.port, a.transport.rawValue) < (b.address, b.port, b.transport.rawValue)
        }
    }

    private final class Hold: Sendable {
        let socket: FileDescriptor
        init(_ socket: consuming FileDescriptor) { self.socket = socket }
    }

    private var held: [Place: Hold] = [:]

    /// Holds nothing.
    init() {}

    /// What is held.
    var places: Set<Place> { Set(held.keys) }

    /// Holds a port. Errors: `EADDRINUSE` where somebody has it, `EADDRNOTAVAIL` where the host has no such address.
    mutating func hold(_ place: Place) throws(SystemError) {
        if held[place] != nil { return }
        held[place] = Hold(try PortHolds.bind(place))
    }

    /// Lets go of all others.
    mutating func keep(_ places: Set<Place>) { held = held.filter { places.contains($0.key) } }

    /// Whether a port could be held. Errors: other than that somebody has it.
    static func isFree(_ place: Place) throws(SystemError) -> Bool {
        do throws(SystemError) { try bind(place).close() } catch {
            if error.isErrno(EADDRINUSE) { return false }
            throw error
        }
        return true
    }

    private static func bind(_ place: Place) throws(SystemError) -> FileDescriptor {
        let bytes = place.address.bytes
        let udp: Int32 = place.transport == .udp ? 1 : 0
        let plain = covey_hold_port(bytes, Int32(bytes.count), place.port, udp, 0)
        if plain >= 0 { return FileDescriptor(owning: plain) }
        guard errno == EADDRINUSE, udp == 0 else { throw SystemError("bind", "\(place.address) port \(place.port)") }
        // Connections of a server that has ended hold a port for a minute, but not against one that listens and shares.
        let shared = covey_hold_port(bytes, Int32(bytes.count), place.port, udp, 1)
        if shared >= 0 { return FileDescriptor(owning: shared) }
        throw SystemError("bind", "\(place.address) port \(place.port)")
    }
}
