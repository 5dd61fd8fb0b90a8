package import CoveyModel
internal import FoundationEssentials
internal import SwiftProtobuf

extension Covey_V1_TerminalSize {
    /// The message of a size.
    package init(_ model: TerminalSize) {
        self.init()
        columns = Int32(clamping: model.columns)
        rows = Int32(clamping: model.rows)
    }
}

extension TerminalSize {
    /// The value of a message. Errors: ``ErrorCode/invalid`` where it does not fit a terminal.
    package init(_ message: Covey_V1_TerminalSize) throws(CoveyError) {
        guard (0...65535).contains(message.columns), (0...65535).contains(message.rows) else {
            throw CoveyError(.invalid, "a terminal of \(message.columns) x \(message.rows) is out of range")
        }
        self.init(columns: Int(message.columns), rows: Int(message.rows))
    }
}

extension Covey_V1_ExecInput {
    /// The message of an input.
    package init(_ model: ExecInput) {
        self.init()
        switch model {
        case .standardInput(let bytes): standardInput = Data(bytes)
        case .end: end = true
        case .resize(let size): resize = Covey_V1_TerminalSize(size)
        case .signal(let number): signal = number
        }
    }
}

extension ExecInput {
    /// The value of a message. Errors: ``ErrorCode/invalid`` for an input that is not known.
    package init(_ message: Covey_V1_ExecInput) throws(CoveyError) {
        switch message.input {
        case .standardInput(let data): self = .standardInput([UInt8](data))
        case .end: self = .end
        case .resize(let size): self = .resize(try TerminalSize(size))
        case .signal(let number):
            guard (1...64).contains(number) else { throw CoveyError(.invalid, "there is no signal \(number)") }
            self = .signal(number)
        case nil: throw CoveyError(.invalid, "an input of an exec is empty or not known")
        }
    }
}

extension Covey_V1_ExecResponse {
    /// The message of an output.
    package init(_ model: ExecOutput) {
        self.init()
        switch model {
        case .started(let id): started = id
        case .stdout(let bytes): stdout = Data(bytes)
        case .stderr(let bytes): stderr = Data(bytes)
        case .caughtUp: caughtUp = true
        case .exited(let exit):
            exited = .with {
                $0.code = exit.code
                if let signal = exit.signal { $0.signal = signal }
            }
        }
    }
}

extension ExecOutput {
    /// The value of a message. Errors: ``ErrorCode/invalid`` for an output that is not known.
    package init(_ message: Covey_V1_ExecResponse) throws(CoveyError) {
        switch message.response {
        case .started(let id): self = .started(id)
        case .stdout(let data): self = .stdout([UInt8](data))
        case .stderr(let data): self = .stderr([UInt8](data))
        case .caughtUp: self = .caughtUp
        case .exited(let exit):
            self = .exited(ExecExit(code: exit.code, signal: exit.hasSignal ? exit.signal : nil))
        case nil: throw CoveyError(.invalid, "an output of an exec is empty or not known")
        }
    }
}

extension Covey_V1_Exec {
    /// The message of a record.
    package init(_ model: ExecRecord) {
        self.init()
        id = model.id
        arguments = model.arguments
        running = model.running
        if let code = model.exitCode { exitCode = code }
        if let instant = model.startedAt { startedAt = Google_Protobuf_Timestamp(instant) }
        if let name = model.user { user = name }
        terminal = model.terminal
    }
}

extension ExecRecord {
    /// The value of a message.
    package init(_ message: Covey_V1_Exec) throws(CoveyError) {
        self.init(
            id: message.id, arguments: message.arguments, running: message.running,
            exitCode: message.hasExitCode ? message.exitCode : nil,
            startedAt: message.hasStartedAt ? try Timestamp(message.startedAt) : nil,
            user: message.hasUser ? message.user : nil, terminal: message.terminal)
    }
}

extension Covey_V1_LogsResponse {
    /// The message of a piece.
    package init(_ model: LogChunk) {
        self.init()
        stream = model.stream.wire
        data = Data(model.bytes)
    }
}

extension LogChunk {
    /// The value of a message.
    package init(_ message: Covey_V1_LogsResponse) throws(CoveyError) {
        self.init(try LogStream(wire: message.stream, "stream"), [UInt8](message.data))
    }
}
