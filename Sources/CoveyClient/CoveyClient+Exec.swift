internal import CoveyAPI
package import CoveyModel
internal import GRPCCore
internal import Synchronization

/// What a caller gives to a program while it runs.
package struct ExecSource: Sendable {
    /// Waits for the next bytes of standard input; nil at its end. Nil where there is none.
    package var standardInput: (@Sendable () async throws -> [UInt8]?)?
    /// Sizes and signals.
    package var control: AsyncStream<ExecInput>
    /// Takes back bytes of standard input that could not be sent; nil where they are lost.
    var unsent: (@Sendable ([UInt8]) -> Void)?

    /// Makes a source that takes back what could not be sent.
    init(
        standardInput: @escaping @Sendable () async throws -> [UInt8]?, control: AsyncStream<ExecInput>,
        unsent: @escaping @Sendable ([UInt8]) -> Void
    ) {
        self.init(standardInput: standardInput, control: control)
        self.unsent = unsent
    }

    /// Makes a source.
    package init(
        standardInput: (@Sendable () async throws -> [UInt8]?)? = nil,
        control: AsyncStream<ExecInput> = AsyncStream { _ in }
    ) {
        self.standardInput = standardInput
        self.control = control
    }
}

extension CoveyClient {
    /// Runs a program in a guest and relays it. Without standard input, or with a terminal, the relay outlives a daemon
    /// that is replaced: it connects again and goes on where it stopped, within ``patience``.
    ///
    /// - Parameters:
    ///   - detach: Whether it goes on without the caller; returns then once it runs.
    ///   - id: The exec's id.
    ///   - output: Awaited for each piece, so that a slow caller slows the guest.
    /// - Returns: How it ended; nil with `detach`.
    package func exec(
        _ name: String, _ program: Program, detach: Bool = false, size: TerminalSize? = nil, id: String = requestID(),
        source: ExecSource = ExecSource(), output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws -> ExecExit? {
        // What was typed into a terminal and is lost is typed again; a pipe's bytes are not.
        if detach || source.standardInput != nil && !program.terminal {
            return try await execOnce(name, program, detach: detach, size: size, id: id, source: source, output: output)
        }
        let relayed = Relayed(offsets: (0, 0), hasBegun: false, output: output)
        return try await outliving(relayed, source, name, exec: id, size: size, recent: nil) { source, output in
            try await execOnce(name, program, detach: false, size: size, id: id, source: source, output: output)
        }
    }

    private func execOnce(
        _ name: String, _ program: Program, detach: Bool, size: TerminalSize?, id: String,
        source: ExecSource, output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws -> ExecExit? {
        var start = Covey_V1_ExecStart()
        start.tenant = tenant
        start.requestID = id
        start.name = name
        start.program = Covey_V1_Program(program)
        start.detach = detach
        if let size { start.size = Covey_V1_TerminalSize(size) }
        var message = Covey_V1_ExecRequest()
        message.start = start
        let first = message
        let relay = Relay(source: source, output: output)
        return try await once {
            try await machines.exec(options: streamOptions) { writer in
                try await writer.write(first)
                if detach { return }
                try await relay.feed { input in
                    var message = Covey_V1_ExecRequest()
                    message.input = Covey_V1_ExecInput(input)
                    try await writer.write(message)
                }
            } onResponse: { response in
                try await relay.receive(response, endless: !detach)
            }
        }
    }

    /// Connects to a program that was started before, as ``exec(_:_:detach:size:id:source:output:)``. With `offsets`
    /// and without standard input the relay outlives a daemon that is replaced.
    ///
    /// - Parameters:
    ///   - exec: The exec's id; ``ExecRecord/main`` is the machine's program, which is waited for.
    ///   - offsets: Bytes of standard output and error that the caller has; nil is from the oldest kept.
    ///   - recent: For a program with a terminal: at most so many of the newest bytes, then ``ExecOutput/caughtUp``, and
    ///     the program is asked to draw anew. The relay outlives a daemon then, too.
    package func attach(
        _ name: String, exec: String = ExecRecord.main, offsets: (stdout: Int64, stderr: Int64)? = nil,
        recent: Int64? = nil, size: TerminalSize? = nil, source: ExecSource = ExecSource(),
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws -> ExecExit? {
        guard recent != nil || offsets != nil && source.standardInput == nil else {
            return try await attachOnce(
                name, exec: exec, offsets: offsets, recent: nil, size: size, source: source, output: output)
        }
        let relayed = Relayed(offsets: offsets ?? (0, 0), hasBegun: true, output: output)
        return try await outliving(relayed, source, name, exec: exec, size: size, recent: recent) { source, output in
            try await attachOnce(
                name, exec: exec, offsets: offsets, recent: recent, size: size, source: source, output: output)
        }
    }

    func attachOnce(
        _ name: String, exec: String, offsets: (stdout: Int64, stderr: Int64)?, recent: Int64?, size: TerminalSize?,
        source: ExecSource, output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws -> ExecExit? {
        var start = Covey_V1_AttachStart()
        start.tenant = tenant
        start.name = name
        start.exec = exec
        if let offsets {
            start.stdoutOffset = offsets.stdout
            start.stderrOffset = offsets.stderr
        }
        if let recent { start.recent = recent }
        if let size { start.size = Covey_V1_TerminalSize(size) }
        var message = Covey_V1_AttachRequest()
        message.start = start
        let first = message
        let relay = Relay(source: source, output: output)
        return try await once {
            try await machines.attach(options: streamOptions) { writer in
                try await writer.write(first)
                try await relay.feed { input in
                    var message = Covey_V1_AttachRequest()
                    message.input = Covey_V1_ExecInput(input)
                    try await writer.write(message)
                }
            } onResponse: { response in
                try await relay.receive(response, endless: true)
            }
        }
    }

    /// The programs that Covey started in a guest.
    package func execs(_ name: String) async throws -> [ExecRecord] {
        var message = Covey_V1_ListExecsRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        return try await repeatable {
            try await machines.listExecs(request, options: options).items.converted { item throws(CoveyError) in
                try ExecRecord(item)
            }
        }
    }

    /// Sends a signal to a program; nil is SIGHUP for one with a terminal, SIGTERM for another.
    package func signal(_ name: String, exec: String, _ signal: Int32? = nil) async throws {
        var message = Covey_V1_SignalExecRequest()
        message.tenant = tenant
        message.name = name
        message.exec = exec
        if let signal { message.signal = signal }
        let request = message
        // Not repeated by itself: a signal that arrives twice may do something else.
        _ = try await once { try await machines.signalExec(request, options: options) }
    }

    /// Tells `output` of a machine's logs.
    package func logs(
        _ name: String, exec: String? = nil, console: Bool = false, follow: Bool = false, since: Timestamp? = nil,
        tail: Int? = nil, output: @escaping @Sendable (LogChunk) async throws -> Void
    ) async throws {
        var message = Covey_V1_LogsRequest()
        message.tenant = tenant
        message.name = name
        if let exec { message.exec = exec }
        message.console = console
        message.follow = follow
        if let since { message.since = .init(since) }
        if let tail { message.tail = Int64(tail) }
        let request = message
        try await once {
            try await machines.logs(request, options: streamOptions) { response in
                for try await chunk in response.messages { try await output(try LogChunk(chunk)) }
            }
        }
    }
}

/// Relays one program: what its caller gives until it ends, and what it gives.
struct Relay: Sendable {
    let source: ExecSource
    let output: @Sendable (ExecOutput) async throws -> Void
    private let over: AsyncStream<Void>
    private let end: AsyncStream<Void>.Continuation

    init(source: ExecSource, output: @escaping @Sendable (ExecOutput) async throws -> Void) {
        self.source = source
        self.output = output
        (over, end) = AsyncStream.makeStream()
    }

    /// Sends what the caller gives until the program has ended.
    func feed(_ send: @escaping @Sendable (ExecInput) async throws -> Void) async throws {
        let source = source
        let over = over
        try await withThrowingTaskGroup(of: Bool.self) { group in
            if let read = source.standardInput {
                group.addTask {
                    while let bytes = try await read() {
                        do { try await send(.standardInput(bytes)) } catch {
                            source.unsent?(bytes)
                            throw error
                        }
                    }
                    try await send(.end)
                    return false
                }
            }
            group.addTask {
                for await input in source.control { try await send(input) }
                return false
            }
            group.addTask {
                for await _ in over {}
                return true
            }
            do {
                while let ended = try await group.next() {
                    if ended { break }
                }
            } catch let error as RPCError {
                // The call has ended; its response says how.
                guard error.code == .unavailable || error.code == .cancelled || error.code == .internalError else {
                    throw error
                }
            } catch is CancellationError {
                // The same: whoever cancelled knows.
            }
            group.cancelAll()
        }
    }

    func receive(
        _ response: StreamingClientResponse<Covey_V1_ExecResponse>, endless: Bool
    ) async throws -> ExecExit? {
        defer { end.finish() }
        for try await message in response.messages {
            let piece = try ExecOutput(message)
            try await output(piece)
            if case .exited(let exit) = piece { return exit }
        }
        guard !endless else { throw CoveyError(.unavailable, "the daemon ended the call before the program ended") }
        return nil
    }
}
