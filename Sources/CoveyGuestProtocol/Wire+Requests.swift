internal import CoveyModel

extension GuestRequest {
    /// The request's bytes: 1 number, 2 kind, then what the kind needs.
    package func encoded(number: UInt64) -> [UInt8] {
        var out = FieldWriter()
        out.put(1, number)
        out.put(2, kind)
        switch self {
        case .configure(let configuration): out.put(3) { configuration.encode(&$0) }
        case .start(let request, let attach):
            out.put(4) { request.encode(&$0) }
            out.put(5, attach)
        case .attach(let id, let attachment):
            out.put(6, id)
            out.put(5, attachment)
        case .execs, .ping, .listeningPorts, .usage: break
        case .acknowledge(let id): out.put(6, id)
        case .signal(let id, let number):
            out.put(6, id)
            out.put(7, signed: Int64(number))
        case .resize(let id, let size):
            out.put(6, id)
            out.put(8, size)
        case .shutdown(let how, let grace):
            out.put(9, UInt64(how.rawValue))
            out.put(10, grace)
        case .setClock(let time): out.put(11, signed: time.milliseconds)
        case .setNetwork(let network, let hostname):
            out.put(12) { network.encode(&$0) }
            out.put(13, hostname)
        case .stream(let request, let attachment):
            out.put(24) { request.encode(&$0) }
            out.put(5, attachment)
        }
        return out.bytes
    }

    private var kind: UInt64 {
        switch self {
        case .configure: 1
        case .start: 2
        case .attach: 3
        case .execs: 4
        case .acknowledge: 5
        case .signal: 6
        case .resize: 7
        case .shutdown: 8
        case .setClock: 9
        case .ping: 10
        case .setNetwork: 11
        case .listeningPorts: 12
        case .usage: 13
        case .stream: 24
        }
    }

    /// Reads a request; nil for a kind that this program does not know.
    package static func decode(_ bytes: [UInt8]) throws(FrameFault) -> (number: UInt64, request: GuestRequest?) {
        let fields = try FieldReader(bytes)
        guard let number = try fields.number(1) else { throw FrameFault("a request without a number") }
        return (number, try decode(fields))
    }

    private static func decode(_ fields: FieldReader) throws(FrameFault) -> GuestRequest? {
        switch try fields.number(2) {
        case 1:
            guard let inner = try fields.message(3) else { throw FrameFault("an empty configuration") }
            return .configure(try GuestConfiguration(inner))
        case 2:
            guard let inner = try fields.message(4) else { throw FrameFault("an empty start") }
            return .start(try GuestExecRequest(inner), attach: try fields.attachment(5))
        case 3:
            guard let attachment = try fields.attachment(5) else { throw FrameFault("an empty attach") }
            return .attach(id: try fields.required(6), attachment)
        case 4: return .execs
        case 5: return .acknowledge(id: try fields.required(6))
        case 6: return .signal(id: try fields.required(6), try fields.signed32(7) ?? 0)
        case 7: return .resize(id: try fields.required(6), try fields.terminalSize(8))
        case 8:
            return .shutdown(try fields.value(9, GuestShutdown.self), graceMilliseconds: try fields.number(10) ?? 0)
        case 9: return .setClock(Timestamp(milliseconds: try fields.signed(11) ?? 0))
        case 10: return .ping
        case 11:
            guard let inner = try fields.message(12) else { throw FrameFault("an empty network") }
            return .setNetwork(try GuestNetwork(inner), hostname: fields.text(13))
        case 12: return .listeningPorts
        case 13: return .usage
        case 24:
            guard let inner = try fields.message(24), let attachment = try fields.attachment(5) else {
                throw FrameFault("an empty stream")
            }
            return .stream(try GuestStreamRequest(inner), attach: attachment)
        case _: return nil
        }
    }
}

extension GuestConfiguration {
    fileprivate func encode(_ out: inout FieldWriter) {
        out.put(1, hostname)
        out.put(2, signed: clock?.milliseconds)
        switch purpose {
        case .program(let program):
            out.put(3, UInt64(1))
            out.put(4, program)
        case .imageInit(let path):
            out.put(3, UInt64(2))
            out.put(5, path)
        case .idle: out.put(3, UInt64(3))
        }
        out.put(6, environment)
        out.put(7, image)
        out.put(8, terminalSize)
        out.put(9, UInt64(overflow.rawValue))
        for mount in mounts { out.put(10) { mount.encode(&$0) } }
        if let network { out.put(11) { network.encode(&$0) } }
        for certificate in certificates { out.put(12, certificate) }
        switch readiness {
        case nil: break
        case .initSystem: out.put(13, UInt64(1))
        case .probe(let probe):
            out.put(13, UInt64(2))
            out.put(14) { probe.encode(&$0) }
        }
    }

    fileprivate init(_ fields: FieldReader) throws(FrameFault) {
        let purpose: GuestPurpose
        switch try fields.number(3) {
        case 1:
            guard let program = try fields.program(4) else { throw FrameFault("a machine without its program") }
            purpose = .program(program)
        case 2: purpose = .imageInit(path: try fields.required(5))
        case 3: purpose = .idle
        case let kind: throw FrameFault("a machine of the unknown purpose \(kind ?? 0)")
        }
        let clock = try fields.signed(2).map(Timestamp.init(milliseconds:))
        self.init(
            hostname: fields.text(1), clock: clock, purpose: purpose, environment: try fields.pairs(6),
            image: try fields.image(7), terminalSize: try fields.terminalSize(8),
            overflow: try fields.value(9, GuestOverflow.self))
        for mount in try fields.messages(10) { mounts.append(try GuestMount(mount)) }
        if let inner = try fields.message(11) { network = try GuestNetwork(inner) }
        certificates = fields.texts(12)
        switch try fields.number(13) {
        case 1: readiness = .initSystem
        case 2:
            guard let inner = try fields.message(14) else { throw FrameFault("a probe that tries nothing") }
            readiness = .probe(try Probe(inner))
        case _: break
        }
    }
}

extension GuestExecRequest {
    fileprivate func encode(_ out: inout FieldWriter) {
        out.put(1, id)
        out.put(2, program)
        out.put(3, terminalSize)
        out.put(4, UInt64(overflow.rawValue))
        if let shell { out.put(40) { shell.encode(&$0) } }
    }

    fileprivate init(_ fields: FieldReader) throws(FrameFault) {
        guard let program = try fields.program(2) else { throw FrameFault("an exec without its program") }
        self.init(
            id: try fields.required(1), program: program, terminalSize: try fields.terminalSize(3),
            overflow: try fields.value(4, GuestOverflow.self))
        if let inner = try fields.message(40) { shell = try GuestShell(inner) }
    }
}
