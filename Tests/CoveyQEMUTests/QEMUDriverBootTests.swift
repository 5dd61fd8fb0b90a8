import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Synchronization
import Testing

@testable import CoveyQEMU

@Suite("Real machines on QEMU", .serialized)
struct QEMUDriverBootTests {
    @Test("a machine stands still until it is let go, boots, and its power-off is told before its end")
    func powerOff() async throws {
        try await MachineRun.with("poweroff") { run in
            let vmm = try await run.launch()
            #expect(vmm.handle.vmmVersion.hasPrefix("7."))
            #expect(vmm.handle.process.pid > 1)
            let qmp = try #require(vmm as? QEMUMachine)
            #expect(try await qmp.status() == "prelaunch")
            #expect(try run.console().text.isEmpty)
            try await vmm.resume()
            try await run.console().wait(for: "covey: up, poweroff")
            #expect(try await MachineRun.events(vmm) == [.resumed, .guestPoweredOff, .exited(.exited(0))])
            try await run.driver.destroy(vmm.handle)
            let log = try readText(run.plan.consoleLog)
            #expect(log.contains("covey: up, poweroff"))
        }
    }

    @Test("a reboot and a panic of the guest are told as a reset", arguments: ["reboot", "panic"])
    func reset(scenario: String) async throws {
        try await MachineRun.with(scenario) { run in
            let vmm = try await run.launch()
            try await vmm.resume()
            #expect(try await MachineRun.events(vmm) == [.resumed, .guestReset, .exited(.exited(0))])
        }
    }

    @Test("the power button reaches a guest that listens")
    func button() async throws {
        try await MachineRun.with("button") { run in
            let vmm = try await run.launch()
            try await vmm.resume()
            try await run.console().wait(for: "covey: listening")
            try await vmm.powerDown()
            #expect(try await MachineRun.events(vmm) == [.resumed, .guestPoweredOff, .exited(.exited(0))])
        }
    }

    @Test("a machine can be paused and goes on")
    func pause() async throws {
        try await MachineRun.with("wait") { run in
            let vmm = try #require(try await run.launch() as? any PausableVMM)
            try await vmm.resume()
            #expect(try await MachineRun.nextEvent(vmm) == .resumed)
            try await vmm.pause()
            #expect(try await MachineRun.nextEvent(vmm) == .paused)
            try await vmm.resume()
            #expect(try await MachineRun.nextEvent(vmm) == .resumed)
            try await run.console().wait(for: "covey: up, wait")
        }
    }

    @Test("disks carry their serials, an overlay keeps its base as it is, and the guest channel speaks")
    func devices() async throws {
        try await MachineRun.with("devices") { run in
            let (base, overlay, tools) = ("\(run.folder)/base", "\(run.folder)/overlay", "\(run.folder)/tools")
            try writeFileAtomically(base, Array("based".utf8) + [UInt8](repeating: 0, count: 1 << 20 - 5))
            try writeFileAtomically(tools, Array("tools".utf8) + [UInt8](repeating: 0, count: 1 << 16 - 5))
            #expect(
                try runTool(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay, "4M"]) == 0)
            run.plan.disks = [
                DiskPlan(path: overlay, format: .qcow2, backing: base, readOnly: false, serial: "covey-root"),
                DiskPlan(path: tools, format: .raw, readOnly: true, serial: "covey-tools"),
            ]
            let vmm = try await run.launch()
            // A guest that reads while no host is connected sees the end.
            let channel = try await ByteStream.connect(to: vmm.handle.guestSocket, reactor: run.reactor)
            try await vmm.resume()
            let console = try run.console()
            try await console.wait(for: "covey: port covey.0")
            for line in [
                "vda covey-root ro=0", "vdb covey-tools ro=1", "vda begins based", "vdb begins tools",
                "vda now wrote", "rng virtio_rng",
            ] { #expect(console.text.contains("covey: \(line)"), "\(console.text)") }
            try await channel.write(Array("hello\n".utf8))
            let answer = try await withDeadline(.seconds(30), "the guest's answer") {
                var answer = ""
                while !answer.contains("\n") {
                    let bytes = try await channel.read()
                    if bytes.isEmpty { break }
                    answer += String(decoding: bytes, as: UTF8.self)
                }
                return answer
            }
            #expect(answer.contains("answer to hello"))
            let events = try await MachineRun.events(vmm)
            #expect(events.prefix(2) == [.resumed, .guestChannel(open: true)], "\(events)")
            #expect(events.suffix(2) == [.guestPoweredOff, .exited(.exited(0))], "\(events)")
            #expect(try readFile(base).starts(with: Array("based".utf8)))
        }
    }

    @Test("QEMU has a uid of its own, no capability, no new privileges and its filter on")
    func unprivileged() async throws {
        try await MachineRun.with("wait") { run in
            let vmm = try await run.launch()
            let status = try readText("/proc/\(vmm.handle.process.pid)/status")
            func field(_ name: String) -> String? {
                status.split(separator: "\n").first { $0.hasPrefix("\(name):") }.map {
                    $0.dropFirst(name.count + 1).split { $0 == "\t" || $0 == " " }.joined(separator: " ")
                }
            }
            let user = String(MachineRun.user)
            #expect(field("Uid") == [user, user, user, user].joined(separator: " "))
            #expect(field("Gid") == [user, user, user, user].joined(separator: " "))
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                #expect(field(set) == "0000000000000000", "\(set)")
            }
            #expect(field("NoNewPrivs") == "1")
            #expect(field("Seccomp") == "2")
            var memory = stat()
            #expect(stat(run.plan.memoryFile, &memory) == 0)
            #expect(memory.st_mode & 0o777 == 0o600)
            #expect(memory.st_uid == MachineRun.user)
            #expect(memory.st_size == 128 << 20)
        }
    }

    @Test("destroying takes memory file and sockets away, and can be done twice")
    func destroyTwice() async throws {
        try await MachineRun.with("wait") { run in
            let vmm = try await run.launch()
            #expect(fileExists(run.plan.memoryFile) && fileExists(run.plan.controlSocket))
            try await run.driver.destroy(vmm.handle)
            run.expectNothingLeft()
            #expect(kill(vmm.handle.process.pid, 0) == -1 && errno == ESRCH)
            #expect(try await run.supervisor.processes().isEmpty)
            try await run.driver.destroy(vmm.handle)
            #expect(try await MachineRun.events(vmm) == [.exited(.signalled(SIGKILL))])
        }
    }

    @Test("a VMM that is killed from outside ends its events with the signal")
    func killedFromOutside() async throws {
        try await MachineRun.with("wait") { run in
            let vmm = try await run.launch()
            try await vmm.resume()
            try await run.console().wait(for: "covey: up, wait")
            #expect(kill(vmm.handle.process.pid, SIGKILL) == 0)
            #expect(try await MachineRun.events(vmm) == [.resumed, .exited(.signalled(SIGKILL))])
            await #expect(throws: CoveyError.self) { try await vmm.resume() }
        }
    }

    @Test("a stopped QEMU is not adopted within the deadline, but destroyed within its own")
    func stopped() async throws {
        var deadlines = QEMUDriver.Deadlines()
        deadlines.adopt = .milliseconds(300)
        try await MachineRun.with("wait", deadlines: deadlines) { run in
            let vmm = try await run.launch()
            try await vmm.resume()
            await vmm.detach()
            #expect(kill(vmm.handle.process.pid, SIGSTOP) == 0)
            let (driver, handle) = (run.driver, vmm.handle)
            await expectError(.deadline) { _ = try await driver.adopt(handle) }
            try await withDeadline(.seconds(5), "destroying") { try await driver.destroy(handle) }
            run.expectNothingLeft()
            await expectError(.notFound) { _ = try await driver.adopt(handle) }
        }
    }

    @Test("a second driver adopts what the first detached, running or not yet let go")
    func adoption() async throws {
        try await MachineRun.with("button") { run in
            let first = try await run.launch()
            await first.detach()
            #expect(try await MachineRun.events(first) == [])
            let other = QEMUDriver(reactor: run.reactor, supervisor: run.supervisor)
            let second = try await other.adopt(first.handle)
            #expect(try await MachineRun.nextEvent(second) == .paused)
            try await second.resume()
            try await run.console().wait(for: "covey: listening")
            await second.detach()
            let third = try await other.adopt(first.handle)
            try await third.powerDown()
            #expect(try await MachineRun.events(third) == [.resumed, .guestPoweredOff, .exited(.exited(0))])
            var foreign = first.handle
            foreign.process.startTime += 1
            let handle = foreign
            await expectError(.notFound) { _ = try await other.adopt(handle) }
            await expectError(.conflict) { try await other.destroy(handle) }
        }
    }

    @Test(
        "how a guest ended while nobody listened is known afterwards",
        arguments: [("poweroff", VMMEvent.guestPoweredOff), ("reboot", .guestReset)])
    func recollection(scenario: String, expected: VMMEvent) async throws {
        try await MachineRun.with(scenario) { run in
            let vmm = try await run.launch()
            let (driver, handle, supervisor) = (run.driver, vmm.handle, run.supervisor)
            await expectError(.conflict) { _ = try await driver.lastEvents(handle) }
            try await vmm.resume()
            await vmm.detach()
            _ = try await withDeadline(.seconds(60), "the end") { try await supervisor.waitForExit(handle.processName) }
            await expectError(.notFound) { _ = try await driver.adopt(handle) }
            #expect(try await driver.lastEvents(handle) == [expected, .exited(.exited(0))])
            try await driver.destroy(handle)
            #expect(try await driver.lastEvents(handle) == [.exited(nil)])
        }
    }

    @Test("a guest goes on when nobody reads its console any more")
    func abandonedConsole() async throws {
        try await MachineRun.with("flood") { run in
            let vmm = try await run.launch()
            try await run.supervisor.abandonConsole(run.plan.processName)
            try await vmm.resume()
            #expect(try await MachineRun.events(vmm) == [.resumed, .guestPoweredOff, .exited(.exited(0))])
        }
    }

    @Test("a process that the supervisor lost is found by its identity and ended")
    func lostProcess() async throws {
        try await MachineRun.with("wait") { run in
            let vmm = try await run.launch()
            let empty = DirectSupervisor(reactor: run.reactor)
            try await QEMUDriver(reactor: run.reactor, supervisor: empty).destroy(vmm.handle)
            #expect(try await MachineRun.events(vmm) == [.exited(.signalled(SIGKILL))])
        }
    }

    @Test("ten machines in a row come up while two loops keep the host busy")
    func busyHost() async throws {
        let loops = BusyLoops(2)
        defer { loops.stop() }
        var booted = 0
        for _ in 0..<10 {
            try await MachineRun.with("poweroff") { run in
                let vmm = try await run.launch()
                try await vmm.resume()
                try await run.console().wait(for: "covey: up")
                #expect(try await MachineRun.events(vmm).last == .exited(.exited(0)))
                booted += 1
            }
        }
        #expect(booted == 10)
    }
}

/// Threads that use all the time they get.
private final class BusyLoops: Sendable {
    private let running = Atomic(true)

    init(_ count: Int) {
        for _ in 0..<count {
            startThread(named: "busy") { while self.running.load(ordering: .relaxed) {} }
        }
    }

    func stop() { running.store(false, ordering: .relaxed) }
}

/// Expects an error of a code, and returns it.
@discardableResult
func expectError(
    _ code: ErrorCode, _ location: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async -> CoveyError? {
    do {
        try await body()
        Issue.record("nothing was thrown", sourceLocation: location)
    } catch {
        let error = CoveyError.wrapping(error)
        #expect(error.code == code, "\(error)", sourceLocation: location)
        return error
    }
    return nil
}
