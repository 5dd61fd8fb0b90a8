internal import CoveyModel

extension Probe {
    func encode(_ out: inout FieldWriter) {
        switch action {
        case .exec(let arguments):
            out.put(1, UInt64(1))
            for argument in arguments { out.put(2, argument) }
        case .tcp(let port):
            out.put(1, UInt64(2))
            out.put(3, UInt64(port))
        case .http(let port, let path):
            out.put(1, UInt64(3))
            out.put(3, UInt64(port))
            out.put(4, path)
        }
        out.put(5, signed: periodMilliseconds)
        out.put(6, signed: timeoutMilliseconds)
        out.put(7, signed: startPeriodMilliseconds)
        out.put(8, UInt64(clamping: failures))
        out.put(9, UInt64(clamping: successes))
    }

    init(_ fields: FieldReader) throws(FrameFault) {
        let action: Action
        switch try fields.number(1) {
        case 1: action = .exec(fields.texts(2))
        case 2: action = .tcp(port: try fields.number(3, as: UInt16.self) ?? 0)
        case 3: action = .http(port: try fields.number(3, as: UInt16.self) ?? 0, path: fields.text(4) ?? "/")
        case let kind: throw FrameFault("a probe of the unknown kind \(kind ?? 0)")
        }
        self.init(action)
        periodMilliseconds = try fields.signed(5) ?? periodMilliseconds
        timeoutMilliseconds = try fields.signed(6) ?? timeoutMilliseconds
        startPeriodMilliseconds = try fields.signed(7) ?? startPeriodMilliseconds
        failures = Int(clamping: try fields.number(8) ?? UInt64(failures))
        successes = Int(clamping: try fields.number(9) ?? UInt64(successes))
    }
}
