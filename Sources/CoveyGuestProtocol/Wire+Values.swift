internal import CoveyModel

extension FieldWriter {
    mutating func put(_ tag: UInt8, _ error: CoveyError?) {
        guard let error else { return }
        put(tag) {
            $0.put(1, error.code.rawValue)
            $0.put(2, error.message)
            $0.put(3, error.remedy)
            $0.put(4, flag: error.retryable)
            for cause in error.causes { $0.put(5, cause) }
        }
    }

    mutating func put(_ tag: UInt8, _ program: Program) {
        put(tag) {
            for argument in program.arguments { $0.put(1, argument) }
            $0.put(2, program.environment)
            $0.put(3, program.workingDirectory)
            $0.put(4, program.user)
            $0.put(5, flag: program.terminal)
            $0.put(6, flag: program.standardInput)
        }
    }

    mutating func put(_ tag: UInt8, _ image: ImageConfiguration) {
        put(tag) {
            for argument in image.entrypoint { $0.put(1, argument) }
            for argument in image.command { $0.put(2, argument) }
            $0.put(3, image.environment)
            $0.put(4, image.workingDirectory)
            $0.put(5, image.user)
            $0.put(6, image.initPath)
        }
    }

    mutating func put(_ tag: UInt8, _ size: GuestTerminalSize) {
        put(tag) {
            $0.put(1, UInt64(size.rows))
            $0.put(2, UInt64(size.columns))
        }
    }

    mutating func put(_ tag: UInt8, _ exit: GuestExit?) {
        guard let exit else { return }
        put(tag) {
            switch exit {
            case .exited(let code):
                $0.put(1, UInt64(1))
                $0.put(2, signed: Int64(code))
            case .signalled(let signal):
                $0.put(1, UInt64(2))
                $0.put(2, signed: Int64(signal))
            case .notStarted(let code, let message):
                $0.put(1, UInt64(3))
                $0.put(2, signed: Int64(code))
                $0.put(3, message)
            }
        }
    }

    mutating func put(_ tag: UInt8, _ offsets: [GuestOutput: UInt64]) {
        for output in GuestOutput.allCases {
            guard let offset = offsets[output] else { continue }
            put(tag) {
                $0.put(1, UInt64(output.rawValue))
                $0.put(2, offset)
            }
        }
    }

    mutating func put(_ tag: UInt8, _ attachment: GuestAttachment?) {
        guard let attachment else { return }
        put(tag) {
            $0.put(1, UInt64(attachment.channel))
            $0.put(2, UInt64(attachment.window))
            $0.put(3, attachment.from)
        }
    }
}

extension FieldReader {
    func error(_ tag: UInt8) throws(FrameFault) -> CoveyError? {
        guard let fields = try message(tag) else { return nil }
        let code = fields.text(1).flatMap(ErrorCode.init(rawValue:)) ?? .failure
        var error = CoveyError(
            code, fields.plainText(2) ?? "the guest refused", remedy: fields.plainText(3), retryable: try fields.flag(4)
        )
        error.causes = fields.list(5).prefix(8).map(FieldReader.plain)
        return error
    }

    func program(_ tag: UInt8) throws(FrameFault) -> Program? {
        guard let fields = try message(tag) else { return nil }
        return Program(
            arguments: fields.texts(1), environment: try fields.pairs(2), workingDirectory: fields.text(3),
            user: fields.text(4), terminal: try fields.flag(5), standardInput: try fields.flag(6))
    }

    func image(_ tag: UInt8) throws(FrameFault) -> ImageConfiguration {
        guard let fields = try message(tag) else { return ImageConfiguration() }
        return ImageConfiguration(
            entrypoint: fields.texts(1), command: fields.texts(2), environment: try fields.pairs(3),
            workingDirectory: fields.text(4), user: fields.text(5), initPath: fields.text(6))
    }

    func terminalSize(_ tag: UInt8) throws(FrameFault) -> GuestTerminalSize {
        guard let fields = try message(tag) else { return GuestTerminalSize() }
        return GuestTerminalSize(
            rows: try fields.number(1, as: UInt16.self) ?? 24, columns: try fields.number(2, as: UInt16.self) ?? 80)
    }

    func exit(_ tag: UInt8) throws(FrameFault) -> GuestExit? {
        guard let fields = try message(tag) else { return nil }
        let value = try fields.signed32(2) ?? 0
        switch try fields.number(1) {
        case 1: return .exited(value)
        case 2: return .signalled(value)
        case 3: return .notStarted(code: value, message: fields.plainText(3) ?? "")
        case let kind: throw FrameFault("an exit of the unknown kind \(kind ?? 0)")
        }
    }

    func offsets(_ tag: UInt8) throws(FrameFault) -> [GuestOutput: UInt64] {
        var offsets: [GuestOutput: UInt64] = [:]
        for fields in try messages(tag) {
            guard let output = GuestOutput(rawValue: try fields.number(1, as: UInt8.self) ?? 0) else {
                throw FrameFault("an unknown output")
            }
            offsets[output] = try fields.number(2) ?? 0
        }
        return offsets
    }

    func attachment(_ tag: UInt8) throws(FrameFault) -> GuestAttachment? {
        guard let fields = try message(tag) else { return nil }
        return GuestAttachment(
            channel: try fields.number(1, as: UInt32.self) ?? 0, window: try fields.number(2, as: UInt32.self) ?? 0,
            from: try fields.offsets(3))
    }

    /// A value of one of our enumerations. Errors: missing or unknown.
    func value<T: RawRepresentable>(_ tag: UInt8, _ type: T.Type) throws(FrameFault) -> T where T.RawValue == UInt8 {
        guard let value = T(rawValue: try number(tag, as: UInt8.self) ?? 0) else {
            throw FrameFault("an unknown value of \(type)")
        }
        return value
    }

    /// Text that must be there.
    func required(_ tag: UInt8) throws(FrameFault) -> String {
        guard let text = text(tag) else { throw FrameFault("a message lacks field \(tag)") }
        return text
    }
}
