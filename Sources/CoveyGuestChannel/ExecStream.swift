internal import CoveyGuestProtocol
internal import CoveyModel
internal import Synchronization

/// A program in a guest that a session is attached to.
final class ExecStream: GuestExecStream {
    private struct State {
        var queue: [GuestExecOutput] = []
        var reading: (id: UInt64, continuation: CheckedContinuation<GuestExecOutput?, any Error>)?
        var lastRead: GuestExecOutput?
        var position: [GuestOutput: UInt64] = [:]
        var credited: [GuestOutput: UInt64] = [:]
        var end: Result<GuestExit, CoveyError>?
        var endDelivered = false
        var inputTaken: UInt64 = 0
        var inputSent: UInt64 = 0
        var inputCredit: UInt64 = 0
        var inputEnded = false
        var writing: [UInt64: CheckedContinuation<Void, any Error>] = [:]
        var lastID: UInt64 = 0

        /// The first item, which the reader gets now.
        mutating func takeFirst() -> GuestExecOutput {
            let item = queue.removeFirst()
            lastRead = item
            switch item {
            case .bytes(let output, let offset, let bytes): position[output] = offset + UInt64(bytes.count)
            case .dropped(let output, let count): position[output, default: 0] += count
            case .ended: break
            }
            return item
        }
    }

    /// Items after which bytes are merged, whatever the order of the outputs among each other.
    private static let mergeAbove = 1024
    private static let mostItems = 65536

    let id: String
    let channel = Mutex<UInt32>(0)
    private let core: SessionCore
    private let acknowledgement: GuestAcknowledgement
    private let state = Mutex(State())

    init(id: String, core: SessionCore, acknowledgement: GuestAcknowledgement, window: UInt32? = nil) {
        self.window = window ?? ExecStream.window(acknowledgement)
        self.id = id
        self.core = core
        self.acknowledgement = acknowledgement
    }

    /// Bytes of each output that may be under way or unacknowledged.
    let window: UInt32

    private static func window(_ acknowledgement: GuestAcknowledgement) -> UInt32 {
        switch acknowledgement {
        case .automatic: 128 << 10
        case .manual: 256 << 10
        }
    }

    var inputTaken: UInt64 { state.withLock { $0.inputTaken } }

    // MARK: from the session

    func opened(_ attached: GuestReply.Attached) {
        state.withLock { state in
            state.inputTaken = attached.inputTaken
            state.inputSent = attached.inputTaken
            state.inputCredit = attached.inputCredit
            for output in GuestOutput.allCases {
                state.position[output] = attached.from[output] ?? 0
                state.credited[output] = (attached.from[output] ?? 0) + UInt64(window)
            }
        }
    }

    func deliver(_ output: GuestOutput, _ offset: UInt64, _ bytes: [UInt8]) throws(FrameFault) {
        add { queue in
            let merges = queue.count > ExecStream.mergeAbove ? 2 : 1
            search: for index in queue.indices.suffix(merges).reversed() {
                switch queue[index] {
                case .bytes(output, let start, var before):
                    guard before.count < 65536 else { break search }
                    queue[index] = .ended(.exited(0))
                    before += bytes
                    queue[index] = .bytes(output, offset: start, before)
                    return
                case .dropped(output, _): break search
                case .bytes, .dropped, .ended: continue
                }
            }
            queue.append(.bytes(output, offset: offset, bytes))
        }
        try checkBound()
    }

    func dropped(_ output: GuestOutput, _ count: UInt64) throws(FrameFault) {
        add { queue in
            if case .dropped(output, let before)? = queue.last {
                queue[queue.count - 1] = .dropped(output, count: before + count)
            } else {
                queue.append(.dropped(output, count: count))
            }
        }
        try checkBound()
    }

    private func checkBound() throws(FrameFault) {
        if state.withLock({ $0.queue.count }) > ExecStream.mostItems { throw FrameFault("output in too many pieces") }
    }

    private func add(_ body: (inout [GuestExecOutput]) -> Void) {
        let reading = state.withLock { state -> (CheckedContinuation<GuestExecOutput?, any Error>, GuestExecOutput)? in
            guard state.end == nil else { return nil }
            body(&state.queue)
            guard let reading = state.reading else { return nil }
            state.reading = nil
            return (reading.continuation, state.takeFirst())
        }
        if let (continuation, item) = reading { continuation.resume(returning: item) }
    }

    func credit(_ offset: UInt64) {
        let writing = state.withLock { state in
            state.inputCredit = max(state.inputCredit, offset)
            defer { state.writing = [:] }
            return state.writing
        }
        for continuation in writing.values { continuation.resume() }
    }

    func finish(_ end: Result<GuestExit, CoveyError>) {
        let (reading, writing) = state.withLock { state in
            if state.end == nil { state.end = end }
            defer {
                if case .success = end, state.reading != nil { state.endDelivered = true }
                state.reading = nil
                state.writing = [:]
            }
            return (state.reading, state.writing)
        }
        // Only an empty queue has a waiting reader.
        reading?.continuation.resume(with: end.map { .ended($0) }.mapError { $0 })
        switch end {
        case .success: for continuation in writing.values { continuation.resume() }
        case .failure(let error): for continuation in writing.values { continuation.resume(throwing: error) }
        }
    }

    // MARK: output

    func next() async throws -> GuestExecOutput? {
        acknowledgeLast()
        let id = newID()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = state.withLock { state -> Result<GuestExecOutput?, any Error>? in
                    precondition(state.reading == nil, "two tasks read one program")
                    if !state.queue.isEmpty { return .success(state.takeFirst()) }
                    if state.endDelivered { return .success(nil) }
                    if let end = state.end {
                        if case .success = end { state.endDelivered = true }
                        return end.map { .ended($0) }.mapError { $0 }
                    }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.reading = (id, continuation)
                    return nil
                }
                if let now { continuation.resume(with: now) }
            }
        } onCancel: {
            let reading = state.withLock { state -> CheckedContinuation<GuestExecOutput?, any Error>? in
                guard let reading = state.reading, reading.id == id else { return nil }
                state.reading = nil
                return reading.continuation
            }
            reading?.resume(throwing: CancellationError())
        }
    }

    private func newID() -> UInt64 {
        state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
    }

    private func acknowledgeLast() {
        let credit = state.withLock { state -> (GuestOutput, UInt64)? in
            guard let last = state.lastRead else { return nil }
            state.lastRead = nil
            switch last {
            case .bytes(let output, _, _): return acknowledgement == .automatic ? due(output, &state) : nil
            case .dropped(let output, _): return due(output, &state)
            case .ended: return nil
            }
        }
        if let (output, offset) = credit { sendCredit(output, offset) }
    }

    /// The new credit of an output, where it is worth a frame.
    private func due(_ output: GuestOutput, _ state: inout State) -> (GuestOutput, UInt64)? {
        let credit = (state.position[output] ?? 0) + UInt64(window)
        guard credit >= (state.credited[output] ?? 0) + UInt64(window / 4), state.end == nil else { return nil }
        state.credited[output] = credit
        return (output, credit)
    }

    private func sendCredit(_ output: GuestOutput, _ offset: UInt64) {
        let channel = channel.withLock { $0 }
        core.say { $0.outputCredit(channel: channel, output, upTo: offset) }
    }

    func acknowledge(_ output: GuestOutput, through offset: UInt64) async throws {
        guard acknowledgement == .manual else { return }
        let credit = state.withLock { state -> UInt64? in
            let reached = min(offset, state.position[output] ?? 0)
            guard state.end == nil, reached + UInt64(window) > state.credited[output] ?? 0 else { return nil }
            state.credited[output] = reached + UInt64(window)
            return reached + UInt64(window)
        }
        if let credit { sendCredit(output, credit) }
    }

    // MARK: input

    func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let (count, offset) = try state.withLock { state -> (Int, UInt64) in
                switch state.end {
                case .success: return (rest.count, .max)
                case .failure(let error): throw error
                case nil: break
                }
                if state.inputEnded { return (rest.count, .max) }
                let room = state.inputCredit > state.inputSent ? state.inputCredit - state.inputSent : 0
                let count = min(rest.count, Int(min(room, UInt64(Frame.largestPiece))))
                let offset = state.inputSent
                state.inputSent += UInt64(count)
                return (count, offset)
            }
            if count > 0 && offset != .max {
                let piece = Array(rest.prefix(count))
                let channel = channel.withLock { $0 }
                core.say { $0.input(channel: channel, offset: offset, piece) }
            }
            rest = rest.dropFirst(count)
            if count == 0 { try await awaitCredit() }
        }
    }

    private func awaitCredit() async throws {
        let id = newID()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = state.withLock { state -> Result<Void, any Error>? in
                    if state.end != nil || state.inputCredit > state.inputSent { return .success(()) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.writing[id] = continuation
                    return nil
                }
                if let now { continuation.resume(with: now) }
            }
        } onCancel: {
            let writing = state.withLock { $0.writing.removeValue(forKey: id) }
            writing?.resume(throwing: CancellationError())
        }
    }

    func closeInput() async throws {
        let first = state.withLock { state in
            defer { state.inputEnded = true }
            return !state.inputEnded && state.end == nil
        }
        let channel = channel.withLock { $0 }
        if first { core.say { $0.inputEnd(channel: channel) } }
    }

    // MARK: control

    func resize(_ size: GuestTerminalSize) async throws { _ = try await core.perform(.resize(id: id, size)) }

    func signal(_ number: Int32) async throws { _ = try await core.perform(.signal(id: id, number)) }

    func detach() async {
        let channel = channel.withLock { $0 }
        core.detach(channel)
        finish(.failure(CoveyError(.cancelled, "the stream was detached")))
    }
}
