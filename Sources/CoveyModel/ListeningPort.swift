/// A port that a program in a machine listens on.
package struct ListeningPort: Hashable, Comparable, Codable, Sendable {
    /// TCP or UDP.
    package var transport: TransportProtocol
    /// The address that it listens on; `0.0.0.0` and `::` are every one.
    package var address: IPAddress
    /// The port.
    package var port: UInt16
    /// The program's name; nil where it cannot be seen.
    package var program: String?
    /// Its pid in the machine; nil where it cannot be seen.
    package var pid: Int32?

    /// Makes one.
    package init(
        transport: TransportProtocol, address: IPAddress, port: UInt16, program: String? = nil, pid: Int32? = nil
    ) {
        self.transport = transport
        self.address = address
        self.port = port
        self.program = program
        self.pid = pid
    }

    package static func < (a: ListeningPort, b: ListeningPort) -> Bool {
        (a.port, a.transport.rawValue, a.address) < (b.port, b.transport.rawValue, b.address)
    }
}
