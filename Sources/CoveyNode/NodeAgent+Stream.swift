internal import CoveyArchive
internal import CoveyGuestProtocol
package import CoveyModel

extension NodeAgent {
    /// Opens a stream into a machine and carries both its directions until it is over. It ends with this call.
    ///
    /// - Parameters:
    ///   - input: Waits for the caller's next bytes; nil ends that direction.
    ///   - output: Awaited for each piece, so that a slow caller slows the guest.
    /// - Throws: ``ErrorCode/conflict`` where the machine does not run or something is in the way of a copy,
    ///   ``ErrorCode/exhausted`` for a full file system in the guest, ``ErrorCode/unavailable`` where nobody listens or
    ///   the guest goes away, ``ErrorCode/unsupported`` where its agent is older.
    package func stream(
        _ machine: VirtualMachine, _ purpose: MachineStream,
        input: @escaping @Sendable () async throws -> [UInt8]?,
        output: @escaping @Sendable (MachineStreamOutput) async throws -> Void
    ) async throws {
        let worker = try runningWorker(machine.metadata.id)
        let (session, _) = try await worker.session(within: .seconds(60))
        guard session.hello.abilities.contains(purpose.ability) else {
            throw CoveyError(
                .unsupported, "the guest agent of vm \(machine.metadata.name) cannot do this yet",
                remedy: "restart the machine: covey vm restart \(machine.metadata.name)")
        }
        let stream = try await session.stream(GuestStreamRequest(purpose.wish))
        do {
            let (exit, report) = try await relay(stream, purpose, input: input, output: output)
            await stream.detach()
            try purpose.check(exit, report, machine.metadata.name)
        } catch {
            await stream.detach()
            throw error
        }
    }

    /// Returns how it ended, and what the copying program reported.
    private func relay(
        _ stream: any GuestExecStream, _ purpose: MachineStream,
        input: @escaping @Sendable () async throws -> [UInt8]?,
        output: @escaping @Sendable (MachineStreamOutput) async throws -> Void
    ) async throws -> (GuestExit, [UInt8]) {
        try await withThrowingTaskGroup(of: (GuestExit, [UInt8])?.self) { group in
            group.addTask {
                while let bytes = try await input() { try await stream.write(bytes) }
                try await stream.closeInput()
                return nil
            }
            group.addTask {
                var report: [UInt8] = []
                while let piece = try await stream.next() {
                    switch piece {
                    case .bytes(.standardOutput, _, let bytes): try await output(.bytes(bytes))
                    case .bytes(.standardError, _, let bytes):
                        if case .dial = purpose { try await output(.end) }
                        if report.count < NodeAgent.longestReport { report += bytes }
                    case .dropped: throw CoveyError(.corrupt, "the guest lost bytes of a stream")
                    case .ended(let exit): return (exit, report)
                    }
                }
                throw CoveyError(.unavailable, "the stream ended without saying how")
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                guard let (exit, report) = result else { continue }
                if case .dial = purpose {
                } else {
                    for note in CopyReport.read(report, in: "").notes { try await output(.note(note)) }
                }
                return (exit, report)
            }
            throw CancellationError()
        }
    }

    private static let longestReport = 128 << 10
}

extension MachineStream {
    fileprivate var ability: GuestAbilities {
        switch self {
        case .pack, .unpack: .copy
        case .dial: .dial
        }
    }

    fileprivate var wish: GuestStreamRequest.Purpose {
        switch self {
        case .pack(let wish):
            let task = CopyProgram.Task.pack(
                path: wish.path, .init(followsLink: wish.followsLink, isExact: wish.isExact))
            return .copy(arguments: task.arguments, user: wish.user)
        case .unpack(let wish):
            let task = CopyProgram.Task.unpack(
                path: wish.path, .init(isExact: wish.isExact, isPlainArchive: wish.isPlainArchive))
            return .copy(arguments: task.arguments, user: wish.user)
        case .dial(let endpoint): return .dial(endpoint)
        }
    }

    /// Throws what went wrong in a machine.
    fileprivate func check(_ exit: GuestExit, _ report: [UInt8], _ machine: String) throws(CoveyError) {
        switch (self, exit) {
        case (_, .exited(0)): return
        case (.dial(let endpoint), .notStarted(_, let message)):
            throw CoveyError(
                .unavailable, "\(message) in \(machine)",
                remedy: "see what listens on \(endpoint): covey vm ports \(machine)")
        case (.dial, .exited), (.dial, .signalled):
            throw CoveyError(.unavailable, "the connection was reset in \(machine)", retryable: false)
        case (_, .notStarted(_, let message)): throw CoveyError(.failure, "\(message) (\(machine))")
        case (_, .exited), (_, .signalled):
            throw CopyReport.read(report, in: machine).failure
                ?? CoveyError(.failure, "the copying program in \(machine) ended with \(exit.code)")
        }
    }
}
