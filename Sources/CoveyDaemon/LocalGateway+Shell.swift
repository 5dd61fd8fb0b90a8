internal import CoveyGuestProtocol
package import CoveyModel
internal import CoveyNode
package import CoveyServer
internal import Logging

extension LocalGateway {
    package func shell(
        on node: NodeID, _ machine: VirtualMachine, _ access: ShellAccess, id: String, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        try await check(node, machine)
        let connection = try await agent.shell(machine.metadata.id, access, id: id)
        let stream = connection.stream
        do {
            try await output(.started(stream.id))
            let exit = try await withThrowingTaskGroup(of: GuestExit?.self) { group in
                group.addTask {
                    for try await piece in input {
                        switch piece {
                        case .standardInput(let bytes): try await stream.write(bytes)
                        case .end: try await stream.closeInput()
                        case .resize, .signal: break
                        }
                    }
                    // Whoever called has gone, or has nothing more to say: the server takes both for the end.
                    try await stream.closeInput()
                    return nil
                }
                group.addTask {
                    while let piece = try await stream.next() {
                        switch piece {
                        case .bytes(.standardOutput, _, let bytes): try await output(.stdout(bytes))
                        case .bytes(.standardError, _, let bytes): try await output(.stderr(bytes))
                        case .dropped: throw CoveyError(.internalError, "bytes of \(stream.id) were lost")
                        case .ended(let exit): return exit
                        }
                    }
                    throw CoveyError(.unavailable, "the guest ended \(stream.id) without its exit code")
                }
                defer { group.cancelAll() }
                while let exit = try await group.next() {
                    if let exit { return exit }
                }
                return .exited(255)
            }
            if case .notStarted(_, let message) = exit {
                throw CoveyError(
                    .unsupported, "the ssh server of vm \(machine.metadata.name) did not start: \(message)")
            }
            try await output(.exited(ExecExit(code: exit.code)))
        } catch {
            await end(connection)
            throw error
        }
        await end(connection)
    }

    /// Ends a connection whatever becomes of its caller's task.
    private func end(_ connection: ShellConnection) async {
        let logger = host.logger
        await Task {
            do { try await connection.end() } catch {
                logger.debug("an ssh server was not ended", metadata: ["error": "\(error)"])
            }
        }.value
    }
}
