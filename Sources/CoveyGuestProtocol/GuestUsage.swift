package import CoveyModel

/// What a guest uses of what it has.
package struct GuestUsage: Hashable, Sendable {
    /// Memory that its kernel has.
    package var memory: ByteCount
    /// Memory that programs can have without anything being swapped.
    package var available: ByteCount
    /// Programs that ran or wanted to, averaged over a minute.
    package var load: Double

    /// Makes one.
    package init(memory: ByteCount, available: ByteCount, load: Double) {
        self.memory = memory
        self.available = available
        self.load = load
    }
}

extension GuestUsage {
    func encode(_ out: inout FieldWriter) {
        out.put(1, UInt64(clamping: memory.bytes))
        out.put(2, UInt64(clamping: available.bytes))
        // Hundredths, as the kernel says it.
        out.put(3, UInt64(clamping: Int64((load * 100).rounded())))
    }

    init(_ fields: FieldReader) throws(FrameFault) {
        self.init(
            memory: ByteCount(try fields.number(1, as: Int64.self) ?? 0),
            available: ByteCount(try fields.number(2, as: Int64.self) ?? 0),
            load: Double(try fields.number(3, as: UInt32.self) ?? 0) / 100)
    }
}

extension ListeningPort {
    /// So many a guest lists at most.
    package static let mostInGuest = 1024

    func encode(_ out: inout FieldWriter) {
        out.put(1, UInt64(transport == .tcp ? 1 : 2))
        out.put(2, address)
        out.put(3, UInt64(port))
        out.put(4, program)
        out.put(5, signed: pid.map(Int64.init))
    }

    init(_ fields: FieldReader) throws(FrameFault) {
        let transport: TransportProtocol
        switch try fields.number(1) {
        case 1: transport = .tcp
        case 2: transport = .udp
        case let kind: throw FrameFault("a port of the unknown transport \(kind ?? 0)")
        }
        guard let port = try fields.number(3, as: UInt16.self) else { throw FrameFault("a port without a number") }
        self.init(
            transport: transport, address: try fields.address(2), port: port, program: fields.plainText(4),
            pid: try fields.signed32(5))
    }
}
