internal import CoveyGuardProtocol
package import CoveyModel
package import CoveySystem
package import CoveyVMM
internal import Glibc

/// The guard as a ``ProcessSupervisor``, over its socket.
///
/// Connects by itself, and again when the guard was replaced or started anew; a call whose answer was lost is
/// repeated (a start carries a mark, so that the guard recognises it; a signal may arrive twice then).
package actor GuardClient: ProcessSupervisor {
    private let socketPath: String
    private let instance: InstanceID
    private let reactor: Reactor
    private let patience: Duration
    private let revive: (@Sendable () async throws -> Void)?
    private var link: GuardLink?
    private var service: Task<Void, Never>?
    private var connecting: Task<GuardLink, any Error>?
    private var isClosed = false

    /// A client of the guard that listens at a path.
    ///
    /// `patience` bounds connecting and each call but ``waitForExit(_:)``; `revive` is called where nobody listens.
    package init(
        socketPath: String, instance: InstanceID, reactor: Reactor, patience: Duration = .seconds(20),
        revive: (@Sendable () async throws -> Void)? = nil
    ) {
        self.socketPath = socketPath
        self.instance = instance
        self.reactor = reactor
        self.patience = patience
        self.revive = revive
    }

    deinit {
        link?.shutdown()
        service?.cancel()
        connecting?.cancel()
    }

    /// Ends the connection; processes and guard go on.
    package func close() async {
        isClosed = true
        connecting?.cancel()
        link?.shutdown()
        await service?.value
    }

    /// What the guard says of itself.
    package func facts() async throws -> GuardDescription {
        guard case .hello(let facts) = try await call(.hello(clientVersion: CoveyVersion.current)) else {
            throw Self.surprise
        }
        return GuardDescription(facts)
    }

    /// Makes the guard go on as another program, and returns what that says of itself.
    /// Errors: what the guard refused; ``ErrorCode/unavailable`` where the new one does not answer.
    package func replace(by path: String) async throws -> GuardDescription {
        let before = try await facts()
        let link = try await connected()
        do {
            let response = try await withDeadline(patience, "replacing the guard") {
                try await link.call(.replace(path: path))
            }
            if case .failure(let error) = response { throw error }
            throw Self.surprise
        } catch is LinkLost {
            let after = try await facts()
            guard after.processID == before.processID, after.replacements == before.replacements + 1 else {
                throw CoveyError(
                    .failure, "the guard did not survive its replacement by \(path)",
                    remedy: "exit statuses of machines that end now are unknown; the machines go on")
            }
            return after
        }
    }

    /// Ends the guard. Errors: ``ErrorCode/conflict`` while it has processes.
    package func shutdownGuard() async throws {
        let link = try await connected()
        do {
            let response = try await withDeadline(patience, "ending the guard") { try await link.call(.shutdown) }
            if case .failure(let error) = response { throw error }
        } catch is LinkLost { return }
    }

    // MARK: - ProcessSupervisor

    package func spawn(_ request: SpawnRequest) async throws -> SupervisedProcess {
        guard request.descriptors.count <= GuardProtocol.mostDescriptors else {
            throw CoveyError(
                .invalid, "process \(request.name) has more than \(GuardProtocol.mostDescriptors) descriptors")
        }
        let spawn = GuardSpawn(request, mark: "\(UInt64.random(in: .min ... .max))-\(UInt64.random(in: .min ... .max))")
        try spawn.check()
        guard case .process(let process) = try await call(.spawn(spawn), passing: request.descriptors) else {
            throw Self.surprise
        }
        return SupervisedProcess(process)
    }

    package func processes() async throws -> [SupervisedProcess] {
        var all: [SupervisedProcess] = []
        while true {
            guard case .processes(let part, let more) = try await call(.list(after: all.last?.name ?? "")) else {
                throw Self.surprise
            }
            all += part.map { SupervisedProcess($0) }
            if !more || part.isEmpty { return all }
        }
    }

    package func waitForExit(_ name: String) async throws -> SupervisedProcess.End {
        while true {
            guard case .process(let process) = try await call(.wait(name: name), isBounded: false) else {
                throw Self.surprise
            }
            if let end = SupervisedProcess(process).end { return end }
        }
    }

    package func signal(_ name: String, _ signal: Int32) async throws {
        _ = try await call(.signal(name: name, signal: signal))
    }

    package func kill(_ name: String) async throws { _ = try await call(.kill(name: name)) }

    package func forget(_ name: String) async throws { _ = try await call(.forget(name: name)) }

    package func limitations() async throws -> [String] {
        guard case .limitations(let sentences) = try await call(.limitations) else { throw Self.surprise }
        return sentences
    }

    // MARK: - Calls

    private static var surprise: CoveyError {
        CoveyError(.internalError, "the guard's answer does not fit the request", remedy: "replace the guard")
    }

    private func call(
        _ request: GuardRequest, passing descriptors: [PassedDescriptor] = [], isBounded: Bool = true
    ) async throws -> GuardResponse {
        let deadline = ContinuousClock.now + patience
        while true {
            let link = try await connected()
            do {
                let body: @Sendable () async throws -> GuardResponse = {
                    // The descriptors stay open until the answer came.
                    defer { withExtendedLifetime(descriptors) {} }
                    return try await link.call(request, descriptors: descriptors.map(\.source.raw))
                }
                let left = max(.milliseconds(1), deadline - .now)
                let response =
                    isBounded ? try await withDeadline(left, "the guard's answer", operation: body) : try await body()
                if case .failure(let error) = response { throw error }
                return response
            } catch is LinkLost {
                if self.link === link { self.link = nil }
                guard !isBounded || ContinuousClock.now < deadline else {
                    throw CoveyError(.outcomeUnknown, "the guard went away before it answered")
                }
            }
        }
    }

    private func connected() async throws -> GuardLink {
        if isClosed { throw CoveyError(.cancelled, "the connection to the guard was closed") }
        if let link, !link.isLost { return link }
        let task =
            connecting
            ?? Task {
                defer { connecting = nil }
                return try await connect()
            }
        connecting = task
        // The task is shared; a caller that is cancelled leaves it to the others.
        return try await withDeadline(patience + .seconds(5), "connecting to the guard") { try await task.value }
    }

    private func connect() async throws -> GuardLink {
        let deadline = ContinuousClock.now + patience
        while true {
            do {
                return try await greet(try connectUnix(socketPath, .packets))
            } catch let error as SystemError where [ENOENT, ECONNREFUSED, EAGAIN].contains(error.errno) {
                guard ContinuousClock.now < deadline else {
                    throw CoveyError(
                        .unavailable, "no guard answers at \(socketPath)", remedy: "start covey-guard", cause: error)
                }
                if error.errno != EAGAIN { try await revive?() }
            } catch is LinkLost {
                guard ContinuousClock.now < deadline else {
                    throw CoveyError(.unavailable, "the guard at \(socketPath) ends every connection")
                }
            }
            // A guard that replaces itself has no event to wait for; `deadline` ends the tries.
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func greet(_ socket: consuming FileDescriptor) async throws -> GuardLink {
        let fresh = GuardLink(socket, reactor: reactor)
        let serving = Task { await fresh.serve() }
        do {
            let response = try await withDeadline(patience, "the guard's greeting") {
                try await fresh.call(.hello(clientVersion: CoveyVersion.current))
            }
            guard case .hello(let facts) = response else { throw Self.surprise }
            guard facts.instance == instance.description else {
                throw CoveyError(
                    .conflict, "the guard at \(socketPath) guards instance \(facts.instance), not \(instance)",
                    remedy: "give each daemon a --root of its own")
            }
        } catch {
            fresh.shutdown()
            serving.cancel()
            throw error
        }
        service?.cancel()
        service = serving
        link = fresh
        return fresh
    }
}
