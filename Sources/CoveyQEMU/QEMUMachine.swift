internal import CoveyModel
internal import CoveySystem
package import CoveyVMM

/// A QEMU that this daemon speaks to.
///
/// Its events end with ``VMMEvent/exited(_:)``, or without it after ``detach()``. At most 64 wait for the reader;
/// then the oldest are lost, never the last.
package final class QEMUMachine: PausableVMM {
    package let handle: MachineHandle
    package let events: AsyncStream<VMMEvent>

    let client: QMPClient
    let pool: BlockingPool
    private let watch: ExitWatch
    private let pump: Task<Void, Never>

    /// Takes over a connection. `first` is what the reader of ``events`` is told before anything else.
    init(handle: MachineHandle, client: QMPClient, watch: ExitWatch, pool: BlockingPool, first: VMMEvent? = nil) {
        self.handle = handle
        self.client = client
        self.pool = pool
        self.watch = watch
        let (events, sink) = AsyncStream.makeStream(of: VMMEvent.self, bufferingPolicy: .bufferingNewest(64))
        self.events = events
        if let first { sink.yield(first) }
        pump = Task { [client, watch] in
            for await event in client.events {
                if let event = VMMEvent(event) { sink.yield(event) }
            }
            // The connection is at its end, so nothing can follow but the process's.
            if let end = await watch.end() { sink.yield(.exited(end.status)) }
            sink.finish()
        }
    }

    deinit {
        watch.cancel()
        client.close()
    }

    package func resume() async throws { try await client.execute("cont") }

    package func pause() async throws { try await client.execute("stop") }

    package func powerDown() async throws { try await client.execute("system_powerdown") }

    /// QEMU's own word for its state, such as `prelaunch` or `running`.
    func status() async throws -> String? { try await client.execute("query-status")["status"]?.text }

    package func detach() async {
        watch.cancel()
        client.close()
        await pump.value
    }
}

extension VMMEvent {
    /// What a QEMU's event means; nil for those that are of no interest. Source: QEMU, qapi/run-state.json, qapi/char.json.
    init?(_ event: QMPEvent) {
        switch event.name {
        case "RESUME": self = .resumed
        case "STOP": self = .paused
        case "VSERPORT_CHANGE":
            guard event.data["id"]?.text == QEMUCommandLine.guestPort else { return nil }
            self = .guestChannel(open: event.data["open"] == .bool(true))
        case "SHUTDOWN":
            switch event.data["reason"]?.text {
            case "guest-shutdown": self = .guestPoweredOff
            case "guest-reset", "guest-panic": self = .guestReset
            case _: return nil
            }
        case _: return nil
        }
    }

    /// What QEMU's answer to `query-status` means: whether the CPUs run.
    init(status: JSONValue) { self = status["running"] == .bool(true) ? .resumed : .paused }
}
