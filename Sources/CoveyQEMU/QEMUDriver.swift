package import CoveyModel
package import CoveySystem
package import CoveyVMM

/// Runs machines on QEMU's `microvm` machine, with KVM or under emulation. Holds no policy and no state.
package struct QEMUDriver: VMMDriver {
    /// How long the driver waits for others.
    package struct Deadlines: Hashable, Sendable {
        /// For the supervisor's answers.
        package var supervisor = Duration.seconds(20)
        /// From the start of QEMU until it answers on its control socket.
        package var ready = Duration.seconds(30)
        /// For a running QEMU to answer when it is taken over.
        package var adopt = Duration.seconds(5)
        /// From the kill of a process until it is gone.
        package var end = Duration.seconds(10)

        /// The usual ones.
        package init() {}
    }

    let reactor: Reactor
    let supervisor: any ProcessSupervisor
    let binary: String?
    let facts: @Sendable () async -> HostFacts
    let deadlines: Deadlines
    let openTap: @Sendable (String) throws -> FileDescriptor
    let pool = BlockingPool("covey-qemu")

    /// Makes a driver. `binary` nil searches `PATH` for `qemu-system-x86_64`, anew at each launch; `facts` nil reads
    /// this host's with ``HostFactsReader``. `openTap` nil opens a tap by its name in this process's network namespace.
    package init(
        reactor: Reactor, supervisor: any ProcessSupervisor, binary: String? = nil,
        facts: (@Sendable () async -> HostFacts)? = nil, deadlines: Deadlines = Deadlines(),
        openTap: (@Sendable (String) throws -> FileDescriptor)? = nil
    ) {
        self.reactor = reactor
        self.supervisor = supervisor
        self.binary = binary
        self.deadlines = deadlines
        self.openTap = openTap ?? { try Tap.open($0) }
        let reader = HostFactsReader(reactor: reactor, supervisor: supervisor, binary: binary)
        self.facts = facts ?? { await reader.read() }
    }

    package var name: DriverName { .qemu }

    package func fingerprint() async -> DriverFacts { await facts().driverFacts }

    package func accelerator(_ wanted: Accelerator) async throws -> Accelerator {
        try await facts().accelerator(wanted: wanted)
    }

    package func adopt(_ handle: MachineHandle) async throws -> any RunningVMM {
        let process = try await process(handle.processName)
        guard let process, process.identity == handle.process, process.end == nil else {
            throw CoveyError(.notFound, "QEMU process \(handle.process.pid) of \(handle.processName) is gone")
        }
        let stream: ByteStream
        do {
            stream = try await withDeadline(deadlines.adopt, "connecting to QEMU") { [reactor] in
                try await ByteStream.connect(to: handle.controlSocket, reactor: reactor)
            }
        } catch let error as SystemError {
            throw error.coveyError.with(context: "QEMU \(handle.process.pid) cannot be reached")
        }
        let client = QMPClient(stream)
        let watch = ExitWatch(handle.processName, supervisor) { client.close() }
        do {
            _ = try await client.handshake(within: deadlines.adopt)
            let status = try await client.execute("query-status", within: deadlines.adopt)
            return QEMUMachine(
                handle: handle, client: client, watch: watch, pool: pool, first: VMMEvent(status: status))
        } catch {
            watch.cancel()
            client.close()
            throw error
        }
    }

    /// The supervisor's word on a process; nil where it knows none of that name.
    func process(_ name: String) async throws -> SupervisedProcess? {
        try await withDeadline(deadlines.supervisor, "the guard's list of processes") { [supervisor] in
            try await supervisor.processes().first { $0.name == name }
        }
    }
}
