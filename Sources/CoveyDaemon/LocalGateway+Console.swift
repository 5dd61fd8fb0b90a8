package import CoveyModel
internal import CoveyNode
package import CoveyServer
internal import CoveyStore
internal import CoveySystem
internal import Glibc

extension LocalGateway {
    /// How long a guest may take no input before the writer is told.
    private static let patience = Duration.seconds(10)

    package func console(
        on node: NodeID, _ machine: VirtualMachine, _ query: ConsoleQuery, input: ConsoleInputs,
        output: @escaping @Sendable (ConsoleOutput) async throws -> Void
    ) async throws {
        try await check(node, machine)
        let id = machine.metadata.id
        let seats = agent.consoles
        if !query.readOnly { try await checkInput(id) }
        let updates = seats.updates()
        let visitor = seats.enter(id, who: query.who, asks: !query.readOnly, takes: query.takes)
        defer { seats.leave(visitor) }
        let first = seats.seat(visitor)
        try await output(.seat(first))
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                var last = first
                for await _ in updates {
                    let now = seats.seat(visitor)
                    if now != last { try await output(.seat(now)) }
                    last = now
                }
                return false
            }
            group.addTask {
                try await self.show(id, query, output)
                return true
            }
            group.addTask {
                let pipe = Guarded(ConsolePipe())
                for try await bytes in input where seats.seat(visitor).writes {
                    try await self.write(bytes, to: id, pipe)
                }
                return false
            }
            while let ended = try await group.next() { if ended { break } }
            group.cancelAll()
        }
    }

    /// A machine that does not run yet takes input when it does.
    private func checkInput(_ id: MachineID) async throws {
        do {
            _ = try await agent.consoleInput(id)
        } catch let error as CoveyError where error.code == .conflict || error.code == .notFound {
            return
        }
    }

    private func show(
        _ id: MachineID, _ query: ConsoleQuery, _ output: @escaping @Sendable (ConsoleOutput) async throws -> Void
    ) async throws {
        let folder = host.layout.logs(id)
        guard try await untilThere(id, folder) else { return try await output(.caughtUp) }
        let watch = try FileWatch(folder: folder, reactor: reactor)
        let path = host.layout.console(id)
        let reader = Guarded(ConsoleReader(path))
        try await host.pool.run { try reader.use { try $0.skip(to: query.recent) } }
        try await copyConsole(reader) { try await output(.data($0)) }
        try await output(.caughtUp)
        try await followConsole(id, reader, watch) { try await output(.data($0)) }
    }

    /// Waits for the first start of a machine. Returns false where it ended before, or is gone.
    private func untilThere(_ id: MachineID, _ folder: String) async throws -> Bool {
        if try await host.pool.run({ fileExists(folder) }) { return true }
        for try await _ in host.repositories.machines.watch() {
            if try await host.pool.run({ fileExists(folder) }) { return true }
            do {
                if try await hasEnded(id) { return false }
            } catch let error as CoveyError where error.code == .notFound {
                return false
            }
        }
        return false
    }

    /// Writes to the serial port of the run that there is; what nobody could read is dropped, as by a real port.
    private func write(_ bytes: [UInt8], to id: MachineID, _ pipe: Guarded<ConsolePipe>) async throws {
        let path: String
        do {
            path = try await agent.consoleInput(id)
        } catch let error as CoveyError where error.code == .conflict || error.code == .notFound {
            return
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let (put, descriptor) = try pipe.use { pipe in try pipe.write(rest, to: path) }
            guard let descriptor else { return }
            rest = rest.dropFirst(put)
            if rest.isEmpty { return }
            try await withDeadline(LocalGateway.patience, "the machine's taking input at its console") { [reactor] in
                try await reactor.writable(descriptor)
            }
        }
    }
}

/// The writing end of a serial port's pipe, opened anew for each run.
private final class ConsolePipe {
    private var path = ""
    private var file: FileDescriptor?

    init() {}

    /// Writes what the pipe takes. The descriptor is nil where nobody reads any more.
    func write(_ bytes: ArraySlice<UInt8>, to wanted: String) throws -> (Int, Int32?) {
        if path != wanted {
            file = nil
            path = wanted
        }
        do throws(SystemError) {
            if file?.raw == nil { file = try openFile(wanted, [.writeOnly, .nonBlocking, .noFollow]) }
            guard let raw = file?.raw else { return (0, nil) }
            return (try writeSome(raw, bytes), raw)
        } catch {
            guard error.isErrno(ENXIO) || error.isErrno(EPIPE) || error.isErrno(ENOENT) else { throw error.coveyError }
            path = ""
            file = nil
            return (0, nil)
        }
    }
}
