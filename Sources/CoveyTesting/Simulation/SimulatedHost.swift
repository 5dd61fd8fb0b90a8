package import CoveyModel
package import CoveyVMM
internal import Synchronization

/// A host without a kernel: VMM processes that outlive the daemons which started them, and a ledger of what they did.
package final class SimulatedHost: Sendable {
    /// A VMM process.
    package struct Process: Sendable {
        /// The plan that it was started with.
        package var plan: LaunchPlan
        /// Its identity.
        package var identity: ProcessIdentity
        /// Whether the guest runs; false before it is let go and while it is paused.
        package var cpusRun = false
        /// Its end; nil while it lives.
        package var exit: ProcessExit?
        /// Whether it answers nobody.
        package var frozen = false
        var guest: SimulatedGuest
    }

    /// What happened, in order.
    package enum Event: Hashable, Sendable {
        /// A VMM was started, with its CPUs stopped.
        case launched(MachineID, Int64)
        /// A guest's CPUs were let go for the first time.
        case booted(MachineID, Int64)
        /// A VMM ended.
        case ended(MachineID, Int64)
    }

    struct State {
        var processes: [String: Process] = [:]
        var pid: Int32 = 1000
        var ledger: [Event] = []
        var failures: [String: CoveyError] = [:]
        var times: [String: Int] = [:]
        var observers: [UInt64: Observer] = [:]
        var nextObserver: UInt64 = 0
        /// Copies of disks that wait; nil where none has to.
        var heldCopies: [CheckedContinuation<Void, Never>]?
    }

    /// Somebody who waits for a condition. It is looked at where the change is made: waking every waiter for every
    /// change of every machine would cost more than all that is simulated.
    struct Observer: Sendable {
        /// What resumes the waiter, where the condition holds.
        var look: @Sendable (borrowing [String: Process]) -> (@Sendable () -> Void)?
        /// Resumes the waiter with an error.
        var cancel: @Sendable () -> Void
    }

    let state = Mutex(State())

    /// An empty host.
    package init() {}

    /// The processes that are known, by name.
    package var processes: [String: Process] { state.withLock { $0.processes } }

    /// What happened so far.
    package var ledger: [Event] { state.withLock { $0.ledger } }

    /// Lets a call fail from now on: `launch`, `disk`, `image`, `kernel`; nil lets it succeed again.
    package func fail(_ call: String, with error: CoveyError?) { state.withLock { $0.failures[call] = error } }

    /// Lets copies of disks wait, or lets those that wait go on.
    package func holdCopies(_ held: Bool) {
        let waiting = state.withLock { state in
            defer { state.heldCopies = held ? state.heldCopies ?? [] : nil }
            return held ? [] : state.heldCopies ?? []
        }
        for copy in waiting { copy.resume() }
    }

    /// How many copies of disks wait.
    package var waitingCopies: Int { state.withLock { $0.heldCopies?.count ?? 0 } }

    func passCopy() async {
        await withCheckedContinuation { continuation in
            let goesOn = state.withLock { state in
                guard state.heldCopies != nil else { return true }
                state.heldCopies?.append(continuation)
                return false
            }
            if goesOn { continuation.resume() }
        }
    }

    /// Lets a call fail so many times.
    package func fail(_ call: String, times: Int, with error: CoveyError) {
        state.withLock { state in
            state.failures[call] = error
            state.times[call] = times
        }
    }

    func check(_ call: String) throws {
        let failure = state.withLock { state -> CoveyError? in
            guard let error = state.failures[call] else { return nil }
            if let left = state.times[call] {
                state.times[call] = left > 1 ? left - 1 : nil
                if left <= 1 { state.failures[call] = nil }
            }
            return error
        }
        if let failure { throw failure }
    }

    /// Ends a process, as a signal from outside would.
    package func terminate(_ name: String, _ exit: ProcessExit = .signalled(9)) {
        change { state in
            guard var process = state.processes[name], process.exit == nil else { return }
            process.exit = exit
            process.cpusRun = false
            process.frozen = false
            state.processes[name] = process
            state.ledger.append(.ended(process.plan.machine, process.plan.runGeneration))
        }
    }

    /// Freezes a process, as SIGSTOP would.
    package func freeze(_ name: String, _ frozen: Bool = true) {
        change { $0.processes[name]?.frozen = frozen }
    }

    /// The living process of a machine; more than one is a violation of the first invariant.
    package func living(_ machine: MachineID) -> [Process] {
        state.withLock { state in
            state.processes.values.filter { $0.plan.machine == machine && $0.exit == nil }
        }
    }

    /// What the ledger says against the invariants; empty where all is well.
    package func violations() -> [String] {
        var living: [MachineID: Int64] = [:]
        var highest: [MachineID: Int64] = [:]
        var found: [String] = []
        for event in ledger {
            switch event {
            case .launched(let machine, let generation):
                if let other = living[machine] { found.append("\(machine) runs twice: \(other) and \(generation)") }
                if generation <= highest[machine] ?? 0 { found.append("\(machine) repeats run \(generation)") }
                living[machine] = generation
                highest[machine] = generation
            case .booted(let machine, let generation):
                if living[machine] != generation { found.append("\(machine) boots \(generation) unlaunched") }
            case .ended(let machine, _): living[machine] = nil
            }
        }
        return found
    }

    func change(_ body: (inout State) -> Void) {
        let satisfied = state.withLock { state in
            body(&state)
            var satisfied: [@Sendable () -> Void] = []
            for key in state.observers.keys.sorted() {
                guard let resume = state.observers[key]?.look(state.processes) else { continue }
                state.observers[key] = nil
                satisfied.append(resume)
            }
            return satisfied
        }
        for resume in satisfied { resume() }
    }

    /// Waits until a condition holds; it is asked while the host is locked.
    package func wait<T: Sendable>(_ condition: @escaping @Sendable (borrowing [String: Process]) -> T?) async throws
        -> T
    {
        let key = state.withLock { state in
            state.nextObserver += 1
            return state.nextObserver
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
                let observer = Observer { (processes: borrowing [String: Process]) -> (@Sendable () -> Void)? in
                    guard let found = condition(processes) else { return nil }
                    return { continuation.resume(returning: found) }
                } cancel: {
                    continuation.resume(throwing: CancellationError())
                }
                register(observer, as: key)?()
            }
        } onCancel: {
            state.withLock { $0.observers.removeValue(forKey: key) }?.cancel()
        }
    }
}

extension SimulatedHost {
    /// Lets an observer wait, or returns what resumes it at once.
    private func register(_ observer: Observer, as key: UInt64) -> (@Sendable () -> Void)? {
        state.withLock { state in
            if Task.isCancelled { return observer.cancel }
            if let resume = observer.look(state.processes) { return resume }
            state.observers[key] = observer
            return nil
        }
    }
}

extension SimulatedHost: ProcessSupervisor {
    package func spawn(_ request: SpawnRequest) async throws -> SupervisedProcess {
        throw CoveyError(.unsupported, "the simulated host starts machines only")
    }

    package func processes() async throws -> [SupervisedProcess] {
        state.withLock { state in
            state.processes.map { name, process in
                SupervisedProcess(
                    name: name, identity: process.identity, end: process.exit.map { .known($0) })
            }.sorted { $0.name < $1.name }
        }
    }

    package func waitForExit(_ name: String) async throws -> SupervisedProcess.End {
        guard processes[name] != nil else { throw CoveyError.notFound("process", name) }
        return .known(try await wait { $0[name]?.exit ?? ($0[name] == nil ? .signalled(9) : nil) })
    }

    package func signal(_ name: String, _ signal: Int32) async throws { if signal == 9 { terminate(name) } }

    package func kill(_ name: String) async throws { terminate(name) }

    package func forget(_ name: String) async throws {
        change { state in
            if state.processes[name]?.exit != nil { state.processes[name] = nil }
        }
    }

    package func limitations() async throws -> [String] { [] }
}
