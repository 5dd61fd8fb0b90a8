package import CoveyModel
package import CoveyVMM

/// A VMM driver over a ``SimulatedHost``: what it starts lives on when the daemon is gone.
package struct SimulatedDriver: VMMDriver {
    private let host: SimulatedHost

    /// A driver on a host.
    package init(_ host: SimulatedHost) { self.host = host }

    package var name: DriverName { .qemu }

    package func fingerprint() async -> DriverFacts {
        DriverFacts(driver: .qemu, available: true, version: "simulated", accelerators: [.tcg])
    }

    package func accelerator(_ wanted: Accelerator) async throws -> Accelerator {
        if wanted == .kvm { throw CoveyError(.unsupported, "the simulated host has no KVM") }
        return .tcg
    }

    package func launch(_ plan: LaunchPlan) async throws -> any RunningVMM {
        try host.check("launch")
        var taken = false
        var identity = ProcessIdentity(pid: 0, startTime: 0, bootID: "simulated")
        host.change { state in
            taken = state.processes[plan.processName] != nil
            guard !taken else { return }
            state.pid += 1
            identity.pid = state.pid
            identity.startTime = UInt64(state.pid)
            state.processes[plan.processName] = SimulatedHost.Process(
                plan: plan, identity: identity, guest: SimulatedGuest())
            state.ledger.append(.launched(plan.machine, plan.runGeneration))
        }
        if taken { throw CoveyError(.conflict, "process \(plan.processName) exists") }
        return SimulatedVMM(host, MachineHandle(plan: plan, driver: .qemu, vmmVersion: "simulated", process: identity))
    }

    package func adopt(_ handle: MachineHandle) async throws -> any RunningVMM {
        guard let process = host.processes[handle.processName], process.exit == nil else {
            throw CoveyError(.notFound, "process \(handle.processName) is gone")
        }
        if process.frozen { throw CoveyError(.deadline, "process \(handle.processName) does not answer") }
        return SimulatedVMM(host, handle)
    }

    package func destroy(_ handle: MachineHandle) async throws {
        host.terminate(handle.processName)
        try await host.forget(handle.processName)
    }
}

/// A simulated VMM as a daemon holds it.
package final class SimulatedVMM: PausableVMM, MeasuredVMM {
    package let handle: MachineHandle
    package let events: AsyncStream<VMMEvent>
    private let host: SimulatedHost
    private let watch: Task<Void, Never>

    init(_ host: SimulatedHost, _ handle: MachineHandle) {
        self.host = host
        self.handle = handle
        let (events, continuation) = AsyncStream<VMMEvent>.makeStream()
        self.events = events
        let name = handle.processName
        watch = Task {
            do {
                let exit = try await host.wait { processes -> ProcessExit? in
                    processes[name].map { $0.exit } ?? .signalled(9)
                }
                let guest = host.processes[name]?.guest.end
                if guest == .poweredOff { continuation.yield(.guestPoweredOff) }
                if guest == .crashed || guest == .rebooted { continuation.yield(.guestReset) }
                continuation.yield(.exited(exit))
            } catch {}
            continuation.finish()
        }
    }

    deinit { watch.cancel() }

    package func resume() async throws {
        let name = handle.processName
        host.change { state in
            guard var process = state.processes[name], process.exit == nil else { return }
            if !process.guest.booted {
                process.guest.booted = true
                state.ledger.append(.booted(process.plan.machine, process.plan.runGeneration))
            }
            process.cpusRun = true
            state.processes[name] = process
        }
    }

    package func pause() async throws { host.change { $0.processes[self.handle.processName]?.cpusRun = false } }

    package func powerDown() async throws {
        let name = handle.processName
        guard host.processes[name]?.guest.booted == true else { return }
        host.end(name, .poweredOff)
    }

    package func figures() async throws -> VMMFigures {
        guard let process = host.processes[handle.processName], process.exit == nil else {
            throw CoveyError(.notFound, "process \(handle.processName) is gone")
        }
        return VMMFigures(
            cpuTime: .seconds(1), residentMemory: process.plan.memory,
            disks: process.plan.disks.indices.map {
                DiskFigures(index: $0, readBytes: 4096, readOperations: 1, writtenBytes: 8192, writeOperations: 2)
            })
    }

    package func detach() async { watch.cancel() }
}
