internal import CoveyModel

/// What daemon and guard agree on: packets over a Unix socket of kind SEQPACKET, each a head and fields.
///
/// Head: `cvyg`, version (2 bytes), kind (2 bytes), id (8 bytes), little-endian. The answer carries the request's id.
/// A spawn's descriptors travel with its packet (SCM_RIGHTS), in the order of its descriptor numbers.
package enum GuardProtocol {
    /// The version that this code speaks. Kinds and fields may be added without raising it; `hello` and `replace`
    /// never change, so that any daemon can replace any guard.
    package static let version: UInt16 = 1
    /// The longest packet in bytes; it has to fit into a socket's standard buffer.
    package static let longestPacket = 128 << 10
    /// The most descriptors of one spawn.
    package static let mostDescriptors = 48
    /// The highest number under which a process sees a descriptor.
    package static let highestDescriptor: Int32 = 255
    /// The most processes in one answer to `list`.
    package static let mostProcessesInList = 200

    static let magic = Array("cvyg".utf8)

    static func head(kind: UInt16, id: UInt64) -> FieldWriter {
        var writer = FieldWriter(head: magic)
        writer.append(version)
        writer.append(kind)
        writer.append(id)
        return writer
    }

    static func open(_ bytes: [UInt8]) throws(CoveyError) -> (kind: UInt16, id: UInt64, fields: FieldReader) {
        guard bytes.starts(with: magic) else { throw corrupt("it does not start with its mark") }
        var rest = bytes.dropFirst(magic.count)
        guard let version = rest.takeInteger(UInt16.self), let kind = rest.takeInteger(UInt16.self),
            let id = rest.takeInteger(UInt64.self)
        else { throw corrupt("its head is cut off") }
        guard version == Self.version else { throw corrupt("version \(version) is not spoken here") }
        return (kind, id, try FieldReader(rest))
    }
}

/// How a process that the guard started came to its end.
package enum GuardedEnd: Hashable, Sendable {
    /// By itself, with a status.
    case exited(Int32)
    /// By a signal.
    case signalled(Int32)
    /// While nobody could see how.
    case unknown
}

/// A process of the guard.
package struct GuardedProcess: Hashable, Sendable {
    /// Its name.
    package var name: String
    /// Its pid.
    package var pid: Int32
    /// Clock ticks from boot to its start.
    package var startTime: UInt64
    /// The boot that it was started in.
    package var bootID: String
    /// Nil while it runs.
    package var end: GuardedEnd?

    /// Makes a process.
    package init(name: String, pid: Int32, startTime: UInt64, bootID: String, end: GuardedEnd? = nil) {
        self.name = name
        self.pid = pid
        self.startTime = startTime
        self.bootID = bootID
        self.end = end
    }
}

/// What a guard says of itself.
package struct GuardFacts: Hashable, Sendable {
    /// The protocol's version.
    package var protocolVersion: UInt16
    /// The program's version.
    package var programVersion: String
    /// The instance it guards.
    package var instance: String
    /// Its pid.
    package var pid: Int32
    /// How often it has replaced itself by exec.
    package var replacements: UInt32

    /// Makes facts.
    package init(protocolVersion: UInt16, programVersion: String, instance: String, pid: Int32, replacements: UInt32) {
        self.protocolVersion = protocolVersion
        self.programVersion = programVersion
        self.instance = instance
        self.pid = pid
        self.replacements = replacements
    }
}
