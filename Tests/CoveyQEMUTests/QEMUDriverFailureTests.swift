import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Testing

@testable import CoveyQEMU

@Suite("Launches that cannot work", .serialized)
struct QEMUDriverFailureTests {
    private func expectClean(_ run: MachineRun, spawned: Int) async throws {
        run.expectNothingLeft()
        #expect(try await run.supervisor.processes().isEmpty)
        #expect(run.supervisor.spawned.count == spawned)
    }

    @Test("a kernel of garbage is refused before anything is started")
    func garbageKernel() async throws {
        try await MachineRun.with("wait") { run in
            run.plan.kernel = "\(run.folder)/kernel"
            try writeFileAtomically(run.plan.kernel, [UInt8](repeating: 0x5A, count: 100_000), mode: 0o644)
            let copy = run
            let error = await expectError(.corrupt) { _ = try await copy.launch() }
            #expect(error?.message.contains("no ELF file") == true)
            #expect(error?.remedy == "import the kernel again")
            try await expectClean(run, spawned: 0)
        }
    }

    @Test("a kernel that is cut off is refused")
    func truncatedKernel() async throws {
        try await MachineRun.with("wait") { run in
            let whole = try openFile(run.plan.kernel, .readOnly)
            let head = try #require(try readSome(whole.raw, limit: 1 << 20))
            run.plan.kernel = "\(run.folder)/kernel"
            try writeFileAtomically(run.plan.kernel, head, mode: 0o644)
            let copy = run
            let error = await expectError(.corrupt) { _ = try await copy.launch() }
            #expect(error?.message.contains("cut off") == true)
            try await expectClean(run, spawned: 0)
        }
    }

    @Test("what QEMU says of a kernel that it refuses is in the error, with the file's name, and nothing is left")
    func refusedKernel() async throws {
        try await MachineRun.with("wait") { run in
            // A well-formed ELF file without the note that says where to enter.
            var elf: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
            elf += [2, 0, 62, 0, 1, 0, 0, 0] + [UInt8](repeating: 0, count: 8) + [64] + [UInt8](repeating: 0, count: 7)
            elf += [UInt8](repeating: 0, count: 8) + [0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]
            elf += [UInt8](repeating: 0, count: 56) + [UInt8](repeating: 0, count: 8192)
            run.plan.kernel = "\(run.folder)/kernel"
            try writeFileAtomically(run.plan.kernel, elf, mode: 0o644)
            let copy = run
            let error = await expectError(.failure) { _ = try await copy.launch() }
            #expect(error?.message.contains("status 1") == true, "\(String(describing: error))")
            #expect(error?.message.contains("kernel") == true, "\(String(describing: error))")
            #expect(error?.message.contains("/dev/fd") == false, "\(String(describing: error))")
            try await expectClean(run, spawned: 1)
        }
    }

    @Test("an overlay that is no qcow2 file is refused")
    func badOverlay() async throws {
        try await MachineRun.with("wait") { run in
            let disk = "\(run.folder)/disk"
            try writeFileAtomically(disk, [UInt8](repeating: 1, count: 4096))
            run.plan.disks = [DiskPlan(path: disk, format: .qcow2, readOnly: false, serial: "covey-root")]
            let copy = run
            let error = await expectError(.corrupt) { _ = try await copy.launch() }
            #expect(error?.message.contains("qcow2") == true, "\(String(describing: error))")
            try await expectClean(run, spawned: 0)
        }
    }

    @Test("files that are missing or may not be read are named")
    func files() async throws {
        try await MachineRun.with("wait") { run in
            var copy = run
            copy.plan.initramfs = "\(run.folder)/none"
            let missing = copy
            let error = await expectError(.notFound) { _ = try await missing.launch() }
            #expect(error?.message.contains("initramfs") == true)
            try writeFileAtomically("\(run.folder)/secret", [1], mode: 0o600)
            copy.plan.initramfs = "\(run.folder)/secret"
            let secret = copy
            await expectError(.denied) { _ = try await secret.launch() }
            copy = run
            copy.plan.disks = [
                DiskPlan(path: "\(run.folder)/no-disk", format: .raw, readOnly: true, serial: "covey-root")
            ]
            let disk = copy
            await expectError(.notFound) { _ = try await disk.launch() }
            try await expectClean(run, spawned: 0)
        }
    }

    @Test("more memory than its file system has is refused")
    func memory() async throws {
        try await MachineRun.with("wait") { run in
            run.plan.memory = .gibibytes(1 << 20)
            let copy = run
            await expectError(.exhausted) { _ = try await copy.launch() }
            try await expectClean(run, spawned: 0)
        }
    }

    @Test("a missing QEMU is told with what to install")
    func missingQEMU() async throws {
        try await MachineRun.with("wait", binary: "/nowhere/qemu-system-x86_64") { run in
            let copy = run
            let error = await expectError(.unsupported) { _ = try await copy.launch() }
            #expect(error?.remedy == "apt-get install qemu-system-x86")
            try await expectClean(run, spawned: 0)
        }
    }

    @Test("a program that never answers ends at the deadline and is killed")
    func silentQEMU() async throws {
        var deadlines = QEMUDriver.Deadlines()
        deadlines.ready = .milliseconds(200)
        try await MachineRun.with("wait", deadlines: deadlines) { run in
            let silent = "\(run.folder)/silent"
            try writeFileAtomically(silent, Array("#!/bin/sh\nexec /bin/busybox sleep 1000\n".utf8), mode: 0o755)
            let driver = QEMUDriver(
                reactor: run.reactor, supervisor: run.supervisor, binary: silent, deadlines: deadlines)
            let plan = run.plan
            await expectError(.deadline) { _ = try await driver.launch(plan) }
            try await expectClean(run, spawned: 1)
        }
    }

    @Test("a launch that is cancelled leaves nothing behind")
    func cancelled() async throws {
        try await MachineRun.with("wait") { run in
            let silent = "\(run.folder)/silent"
            try writeFileAtomically(silent, Array("#!/bin/sh\nexec /bin/busybox sleep 1000\n".utf8), mode: 0o755)
            let driver = QEMUDriver(reactor: run.reactor, supervisor: run.supervisor, binary: silent)
            let (plan, supervisor) = (run.plan, run.supervisor)
            let launch = Task { _ = try await driver.launch(plan) }
            try await withDeadline(.seconds(10), "the start") {
                while supervisor.spawned.isEmpty { await Task.yield() }
            }
            launch.cancel()
            await expectError(.cancelled) { try await launch.value }
            try await expectClean(run, spawned: 1)
        }
    }

    @Test("a second launch of the same run is a conflict and leaves the first alone")
    func twice() async throws {
        try await MachineRun.with("poweroff") { run in
            let vmm = try await run.launch()
            let copy = run
            await expectError(.conflict) { _ = try await copy.launch() }
            #expect(fileExists(run.plan.memoryFile) && fileExists(run.plan.controlSocket))
            try await vmm.resume()
            #expect(try await MachineRun.events(vmm) == [.resumed, .guestPoweredOff, .exited(.exited(0))])
        }
    }

    @Test("plans that cannot be run are invalid")
    func plans() async throws {
        try await MachineRun.with("wait") { run in
            let changes: [@Sendable (inout LaunchPlan) -> Void] = [
                { $0.accelerator = .auto }, { $0.cpus = 0 }, { $0.cpus = 1000 }, { $0.memory = .mebibytes(1) },
                { $0.memory = ByteCount((128 << 20) + 1) }, { $0.user = 0 },
                {
                    $0.disks = [
                        DiskPlan(path: "/d", format: .raw, readOnly: true, serial: "longer-than-twenty-bytes")
                    ]
                },
                { $0.disks = [DiskPlan(path: "/d", format: .raw, backing: "/b", readOnly: true, serial: "s")] },
                { $0.runFolder += String(repeating: "/x", count: 60) },
            ]
            for (index, change) in changes.enumerated() {
                var plan = run.plan
                change(&plan)
                try makeFolder(plan.runFolder)
                let (driver, changed) = (run.driver, plan)
                let error = await expectError(.invalid) { _ = try await driver.launch(changed) }
                #expect(error?.message.isEmpty == false, "change \(index)")
            }
            try removeTree("\(run.plan.runFolder)/x")
            try await expectClean(run, spawned: 0)
        }
    }
}
