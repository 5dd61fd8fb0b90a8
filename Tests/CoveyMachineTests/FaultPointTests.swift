import CoveyModel
import CoveySystem
import Testing

/// The daemon kills itself at one step, and the next one finds the rest.
@Suite("The daemon dies at a step", .tags(.machine), .serialized, .host)
struct FaultPointTests {
    @Test(
        "of a start: the machine runs once afterwards",
        arguments: [
            "start.image", "start.disk", "start.intent", "start.volumes", "start.folders", "start.launched",
            "start.handle", "start.recorded", "start.resumed",
        ])
    func start(_ point: String) async throws {
        let host = try await TestHost.current()
        let name = machineName(point)
        try await host.stopDaemon()
        try await host.start(faultPoint: point)
        _ = try await host.run("vm", "create", "--name", name, "--wait", "created", "busybox")
        #expect(try await host.daemonEnded() == .signalled(9))
        try await host.start()
        let machine = try await host.ready(name)
        #expect(try host.machineProcesses(machine.id) == [machine.status.pid])
        #expect(try await host.succeed("exec", name, "--", "hostname").text == "\(name)\n")
        try await host.succeed("vm", "rm", "-f", name)
        try await nothingIsLeft(host)
    }

    @Test(
        "of a stop: the machine is stopped afterwards, and starts again",
        arguments: ["stop.recorded", "end.recorded", "end.cleaned", "clean.destroyed", "clean.files"])
    func stop(_ point: String) async throws {
        let host = try await TestHost.current()
        let name = machineName(point)
        try await host.stopDaemon()
        try await host.start(faultPoint: point)
        try await host.succeed("vm", "create", "--name", name, "busybox")
        let id = try await host.inspect(name).id
        _ = try await host.run("vm", "stop", name)
        #expect(try await host.daemonEnded() == .signalled(9))
        try await host.start()
        let machine = try await host.phase(name, "stopped")
        #expect(machine.status.lastEnd == "stopped")
        #expect(try host.machineProcesses(id).isEmpty)
        try await host.succeed("vm", "rm", name)
        try await nothingIsLeft(host)
    }

    @Test("between a program's end and the machine's: its code is kept")
    func programEnd() async throws {
        let host = try await TestHost.current()
        try await host.stopDaemon()
        try await host.start(faultPoint: "run.programEnded")
        _ = try await host.run("run", "--name", "code", "busybox", "--", "sh", "-c", "echo out; exit 3")
        #expect(try await host.daemonEnded() == .signalled(9))
        try await host.start()
        let machine = try await host.phase("code", "stopped")
        #expect(machine.status.exitCode == 3)
        #expect(machine.status.lastEnd == "programExited")
        #expect(try await host.succeed("logs", "code").text == "out\n")
        try await host.succeed("vm", "rm", "code")
        try await nothingIsLeft(host)
    }

    @Test(
        "of a delete: the machine is gone afterwards",
        arguments: [
            "delete.recorded", "clean.destroyed", "clean.files", "delete.cleaned", "delete.disk", "delete.folder",
            "delete.removed",
        ])
    func delete(_ point: String) async throws {
        let host = try await TestHost.current()
        let name = machineName(point)
        try await host.stopDaemon()
        try await host.start(faultPoint: point)
        try await host.succeed("vm", "create", "--name", name, "--wait", "running", "busybox")
        let id = try await host.inspect(name).id
        _ = try await host.run("vm", "rm", "-f", name)
        #expect(try await host.daemonEnded() == .signalled(9))
        try await host.start()
        try await eventually("the machine is gone") { try await host.isGone(name) }
        #expect(try host.machineProcesses(id).isEmpty)
        try await nothingIsLeft(host)
    }

    private func machineName(_ point: String) -> String {
        String(point.lowercased().map { $0 == "." ? "-" : $0 })
    }

    private func nothingIsLeft(_ host: TestHost) async throws {
        let left = try host.leftOfMachines()
        #expect(left.isEmpty, "\(left)")
        #expect(try await host.succeed("doctor", "--leaks", "-q").text.isEmpty)
        try await eventually("every operation has ended") {
            try await host.succeed("operation", "ls").lines.dropFirst().allSatisfy { line in
                ["succeeded", "failed", "cancelled"].contains { line.contains(" \($0) ") }
            }
        }
    }
}
