package import CoveyModel

extension GuestHello {
    /// The hello's bytes.
    package var encoded: [UInt8] {
        var out = FieldWriter()
        out.put(1, UInt64(protocolVersion))
        out.put(2, abilities.rawValue)
        out.put(3, agentVersion)
        out.put(4, bootID)
        out.put(5, kernelRelease)
        out.put(6, signed: timings.agentStarted?.wholeMicroseconds)
        out.put(7, signed: timings.modulesLoaded?.wholeMicroseconds)
        out.put(8, signed: timings.rootMounted?.wholeMicroseconds)
        out.put(9, flag: configured)
        out.put(10, problem)
        out.put(11, hostname)
        out.put(12, flag: ready)
        return out.bytes
    }

    /// Reads a hello.
    package static func decode(_ bytes: [UInt8]) throws(FrameFault) -> GuestHello {
        let fields = try FieldReader(bytes)
        guard let version = try fields.number(1, as: UInt32.self) else { throw FrameFault("a hello without a version") }
        let timings = GuestBootTimings(
            agentStarted: try fields.signed(6).map { .microseconds($0) },
            modulesLoaded: try fields.signed(7).map { .microseconds($0) },
            rootMounted: try fields.signed(8).map { .microseconds($0) })
        return GuestHello(
            protocolVersion: version, abilities: GuestAbilities(rawValue: try fields.number(2) ?? 0),
            agentVersion: fields.plainText(3) ?? "", bootID: fields.plainText(4) ?? "",
            kernelRelease: fields.plainText(5) ?? "",
            timings: timings, configured: try fields.flag(9), problem: try fields.error(10),
            hostname: fields.plainText(11), ready: try fields.flag(12))
    }
}

extension GuestReply {
    /// The reply's bytes.
    package var encoded: [UInt8] {
        var out = FieldWriter()
        out.put(1, number)
        out.put(2, error)
        out.put(3, configured.map { UInt64($0.rawValue) })
        for exec in execs { out.put(4) { exec.encode(&$0) } }
        if let attached {
            out.put(5) {
                $0.put(1, attached.from)
                $0.put(2, attached.inputTaken)
                $0.put(3, attached.inputCredit)
            }
        }
        for port in ports { out.put(6) { port.encode(&$0) } }
        if let usage { out.put(7) { usage.encode(&$0) } }
        return out.bytes
    }

    /// Reads a reply.
    package static func decode(_ bytes: [UInt8]) throws(FrameFault) -> GuestReply {
        let fields = try FieldReader(bytes)
        guard let number = try fields.number(1) else { throw FrameFault("a reply without a number") }
        var reply = GuestReply(number: number, error: try fields.error(2))
        if let configured = try fields.number(3) {
            guard let value = UInt8(exactly: configured).flatMap(GuestConfigured.init(rawValue:)) else {
                throw FrameFault("an unknown answer to a configuration")
            }
            reply.configured = value
        }
        for exec in try fields.messages(4) { reply.execs.append(try GuestExecInfo(exec)) }
        if let attached = try fields.message(5) {
            reply.attached = Attached(
                from: try attached.offsets(1), inputTaken: try attached.number(2) ?? 0,
                inputCredit: try attached.number(3) ?? 0)
        }
        for port in try fields.messages(6) {
            guard reply.ports.count < ListeningPort.mostInGuest else {
                throw FrameFault("more ports than a guest lists")
            }
            reply.ports.append(try ListeningPort(port))
        }
        if let usage = try fields.message(7) { reply.usage = try GuestUsage(usage) }
        return reply
    }
}

extension GuestExecInfo {
    fileprivate func encode(_ out: inout FieldWriter) {
        out.put(1, id)
        out.put(2, signed: pid.map(Int64.init))
        out.put(3, exit)
        out.put(4, written)
        out.put(5, kept)
        out.put(6, inputTaken)
    }

    fileprivate init(_ fields: FieldReader) throws(FrameFault) {
        self.init(
            id: try fields.required(1), pid: try fields.signed32(2), exit: try fields.exit(3),
            written: try fields.offsets(4), kept: try fields.offsets(5), inputTaken: try fields.number(6) ?? 0)
    }
}

extension GuestEvent {
    /// The event's bytes. ``ended(_:)`` is the host's own and is never sent.
    package var encoded: [UInt8] {
        var out = FieldWriter()
        switch self {
        case .configured: out.put(1, UInt64(1))
        case .started: out.put(1, UInt64(2))
        case .execEnded(let id, let exit):
            out.put(1, UInt64(3))
            out.put(2, id)
            out.put(3, exit)
        case .rebooting: out.put(1, UInt64(4))
        case .poweringOff(let reason):
            out.put(1, UInt64(5))
            out.put(4, reason)
        case .goingDown: out.put(1, UInt64(6))
        case .ready: out.put(1, UInt64(7))
        case .notReady(let why):
            out.put(1, UInt64(8))
            out.put(4, why)
        case .ended: preconditionFailure("the end of a session is no message")
        }
        return out.bytes
    }

    /// Reads an event; nil for a kind that this program does not know.
    package static func decode(_ bytes: [UInt8]) throws(FrameFault) -> GuestEvent? {
        let fields = try FieldReader(bytes)
        switch try fields.number(1) {
        case 1: return .configured
        case 2: return .started
        case 3:
            guard let exit = try fields.exit(3) else { throw FrameFault("an exec ended without saying how") }
            return .execEnded(id: try fields.required(2), exit)
        case 4: return .rebooting
        case 5: return .poweringOff(reason: fields.plainText(4) ?? "")
        case 6: return .goingDown
        case 7: return .ready
        case 8: return .notReady(fields.plainText(4) ?? "")
        case _: return nil
        }
    }
}

/// How a program ended, as its channel says it: with how much of each output there was.
package struct GuestExitMessage: Hashable, Sendable {
    /// How it ended.
    package var exit: GuestExit
    /// Bytes of each output.
    package var written: [GuestOutput: UInt64]

    /// Makes a message.
    package init(exit: GuestExit, written: [GuestOutput: UInt64]) {
        self.exit = exit
        self.written = written
    }

    /// The message's bytes.
    package var encoded: [UInt8] {
        var out = FieldWriter()
        out.put(1, exit)
        out.put(2, written)
        return out.bytes
    }

    /// Reads a message.
    package static func decode(_ bytes: [UInt8]) throws(FrameFault) -> GuestExitMessage {
        let fields = try FieldReader(bytes)
        guard let exit = try fields.exit(1) else { throw FrameFault("an exit that says nothing") }
        return GuestExitMessage(exit: exit, written: try fields.offsets(2))
    }
}

/// An error as a message of its own: why a channel or session ended.
package enum GuestErrorMessage {
    /// The error's bytes.
    package static func encode(_ error: CoveyError) -> [UInt8] {
        var out = FieldWriter()
        out.put(1, error)
        return out.bytes
    }

    /// Reads an error.
    package static func decode(_ bytes: [UInt8]) throws(FrameFault) -> CoveyError {
        try FieldReader(bytes).error(1) ?? CoveyError(.failure, "the guest gave no reason")
    }
}

/// What a host says when it opens a session.
package struct HostOpen: Hashable, Sendable {
    /// The newest protocol version that it speaks.
    package var version: UInt32
    /// The oldest.
    package var oldestVersion: UInt32

    /// Makes an opening.
    package init(version: UInt32 = guestProtocolVersion, oldestVersion: UInt32 = 1) {
        self.version = version
        self.oldestVersion = oldestVersion
    }

    /// The opening's bytes.
    package var encoded: [UInt8] {
        var out = FieldWriter()
        out.put(1, UInt64(version))
        out.put(2, UInt64(oldestVersion))
        return out.bytes
    }

    /// Reads an opening.
    package static func decode(_ bytes: [UInt8]) throws(FrameFault) -> HostOpen {
        let fields = try FieldReader(bytes)
        return HostOpen(
            version: try fields.number(1, as: UInt32.self) ?? 1,
            oldestVersion: try fields.number(2, as: UInt32.self) ?? 1)
    }
}

extension Duration {
    fileprivate var wholeMicroseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }
}
