internal import CoveyAPI
package import CoveyModel
internal import GRPCCore

extension CoveyClient {
    /// Connects to a machine's serial console until the machine has ended.
    ///
    /// - Parameters:
    ///   - recent: At most so many of the newest bytes of what is kept; nil is the daemon's choice.
    ///   - who: Who the caller is, for others that want to write.
    ///   - input: Bytes for the console.
    ///   - output: Awaited for each piece.
    package func console(
        _ name: String, readOnly: Bool = false, take: Bool = false, recent: Int64? = nil, who: String,
        input: AsyncStream<[UInt8]>, output: @escaping @Sendable (ConsoleOutput) async throws -> Void
    ) async throws {
        var start = Covey_V1_ConsoleStart()
        start.tenant = tenant
        start.name = name
        start.readOnly = readOnly
        start.take = take
        start.who = who
        if let recent { start.recent = recent }
        var message = Covey_V1_ConsoleRequest()
        message.start = start
        let first = message
        let (over, end) = AsyncStream<Void>.makeStream()
        try await once {
            try await consoles.open(options: streamOptions) { writer in
                try await writer.write(first)
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    group.addTask {
                        for await bytes in input {
                            try await writer.write(Covey_V1_ConsoleRequest(input: bytes))
                        }
                        return false
                    }
                    group.addTask {
                        for await _ in over {}
                        return true
                    }
                    do {
                        while let ended = try await group.next() { if ended { break } }
                    } catch is RPCError {
                        // The call has ended; its response says how.
                    } catch is CancellationError {
                        // The same: whoever cancelled knows.
                    }
                    group.cancelAll()
                }
            } onResponse: { response in
                defer { end.finish() }
                for try await message in response.messages { try await output(try ConsoleOutput(message)) }
            }
        }
    }
}
