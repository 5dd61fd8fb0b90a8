import CoveyModel
import CoveyQEMU
import CoveySystem
import CoveyVMM
import Testing

/// One run of a machine with folders of its own, taken away afterwards.
struct MachineRun: Sendable {
    let reactor: Reactor
    let supervisor: DirectSupervisor
    let driver: QEMUDriver
    let folder: String
    var plan: LaunchPlan

    /// A uid without any right.
    static let user: UInt32 = 231_072

    /// Runs `body` with a plan for a scenario; afterwards checks that destroying leaves nothing, and cleans up.
    static func with(
        _ scenario: String, binary: String? = nil, deadlines: QEMUDriver.Deadlines = .init(),
        openTap: (@Sendable (String) throws -> FileDescriptor)? = nil,
        _ body: (inout MachineRun) async throws -> Void
    ) async throws {
        let fixture = try await BootFixture.shared()
        let ids = IdentifierSource(time: { Timestamp(milliseconds: 1_800_000_000_000) })
        let id = ids.next(VirtualMachine.self)
        let folder = "/tmp/cvy-qemu-\(id.tail(12))"
        let memory = "/dev/shm/cvy-qemu-\(id.tail(12))"
        try makeFolder(folder, mode: 0o755)
        try makeFolder("\(folder)/run")
        let reactor = try Reactor()
        let supervisor = DirectSupervisor(reactor: reactor)
        var run = MachineRun(
            reactor: reactor, supervisor: supervisor,
            driver: QEMUDriver(
                reactor: reactor, supervisor: supervisor, binary: binary, deadlines: deadlines, openTap: openTap),
            folder: folder,
            plan: LaunchPlan(
                machine: id, name: "test", instance: InstanceID(random: 7), runGeneration: 1, accelerator: .tcg,
                cpus: 1, memory: .mebibytes(128), kernel: fixture.kernel, initramfs: fixture.initramfs,
                kernelArguments: ["scenario=\(scenario)"], disks: [], runFolder: "\(folder)/run",
                memoryFile: memory, consoleLog: "\(folder)/console", user: user))
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(&run)) } catch { outcome = .failure(error) }
        for process in try await supervisor.processes() {
            let handle = MachineHandle(plan: run.plan, driver: .qemu, process: process.identity)
            try await run.driver.destroy(handle)
        }
        run.expectNothingLeft()
        reactor.shutdown()
        try removeTree(folder)
        try outcome.get()
    }

    /// Expects that no file and no process of the run is there.
    func expectNothingLeft(_ location: SourceLocation = #_sourceLocation) {
        let left = (try? listFolder(plan.runFolder)) ?? ["unreadable"]
        #expect(left.isEmpty, sourceLocation: location)
        #expect(!fileExists(plan.memoryFile), sourceLocation: location)
    }

    /// Starts the machine, its CPUs stopped.
    func launch() async throws -> any RunningVMM { try await driver.launch(plan) }

    /// The machine's console.
    func console() throws -> ConsoleText { try supervisor.console(plan.processName) }

    /// All events until the stream's end.
    static func events(_ vmm: any RunningVMM) async throws -> [VMMEvent] {
        try await withDeadline(.seconds(60), "the end of the events") {
            var events: [VMMEvent] = []
            for await event in vmm.events { events.append(event) }
            return events
        }
    }

    /// The next event.
    static func nextEvent(_ vmm: any RunningVMM) async throws -> VMMEvent? {
        try await withDeadline(.seconds(60), "an event") {
            var iterator = vmm.events.makeAsyncIterator()
            return await iterator.next()
        }
    }
}
