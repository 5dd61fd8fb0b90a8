import CoveyGuardClient
import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Testing

/// A guard of its own in a folder of its own, the real program; nothing of it is left afterwards.
final class GuardFixture: Sendable {
    let folder: String
    let instance: InstanceID
    let reactor: Reactor
    let launcher: GuardLauncher
    let client: GuardClient

    static var program: String {
        get throws { "\(parentFolder(try linkTarget("/proc/self/exe")))/covey-guard" }
    }

    private init(folder: String, instance: InstanceID, reactor: Reactor) async throws {
        self.folder = folder
        self.instance = instance
        self.reactor = reactor
        launcher = GuardLauncher(
            program: try Self.program, runFolder: "\(folder)/run", instance: instance, reactor: reactor)
        client = try await launcher.connect()
    }

    /// Runs a test with a fresh guard, cleans up, and checks that the clean-up found nothing unexpected.
    static func with(_ body: @Sendable (GuardFixture) async throws -> Void) async throws {
        let instance = InstanceID(random: .random(in: .min ... .max))
        let folder = "/tmp/cvy-guard-\(instance)"
        try makeFolder(folder)
        let reactor = try Reactor()
        var failure: (any Error)?
        do {
            let fixture = try await GuardFixture(folder: folder, instance: instance, reactor: reactor)
            do { try await body(fixture) } catch { failure = error }
            await fixture.client.close()
        } catch { failure = error }
        try await cleanUp(instance)
        try removeTree(folder)
        reactor.shutdown()
        if let failure { throw failure }
    }

    private static func cleanUp(_ instance: InstanceID) async throws {
        let groups = try ControlGroups(instance: instance, ownsProcess: false)
        for name in [ControlGroups.ownGroup] + (try groups.names()) {
            try await eventually("\(name) is empty") {
                try groups.kill(name)
                return try groups.members(name).isEmpty
            }
            try await eventually("\(name) is removed") { try groups.remove(name) }
        }
        try await eventually("the instance's groups are removed") { try groups.removeAll() }
    }

    /// The control groups as the guard sees them.
    var groups: ControlGroups {
        get throws { try ControlGroups(instance: instance, ownsProcess: false) }
    }

    /// A shell script as a process of an unprivileged user, its output in ``output(_:)``.
    func script(_ name: String, _ script: String) throws -> SpawnRequest {
        let file = SharedDescriptor(try openFile("\(folder)/\(name).out", [.writeOnly, .create, .append]))
        return SpawnRequest(
            name: name, arguments: ["/bin/sh", "-c", script], environment: ["PATH": "/usr/bin:/bin"], user: 54_321,
            descriptors: [PassedDescriptor(file, as: 1)], isolatesNetwork: false)
    }

    /// A process that stays until it is killed.
    func sleeper(_ name: String) throws -> SpawnRequest { try script(name, "exec sleep 1000") }

    func output(_ name: String) throws -> String { try readText("\(folder)/\(name).out") }

    /// Another client of the same guard, without power to start one.
    func otherClient() -> GuardClient {
        GuardClient(socketPath: launcher.socketPath, instance: instance, reactor: reactor)
    }

    /// Kills the guard with SIGKILL, and waits until it is gone.
    func killGuard() async throws {
        let guardProcess = try ProcessDescriptor(pid: try await client.facts().processID)
        try guardProcess.send(SIGKILL)
        try await reactor.readable(guardProcess.raw)
    }
}

func linkTarget(_ path: String) throws -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = try check("readlink", path) { readlink(path, &buffer, buffer.count) }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Looks again until a condition holds; fails after ten seconds.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "\(what): did not come true")
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// A field of `/proc/PID/status`, blanks joined.
func status(_ pid: Int32, _ field: String) throws -> String {
    let lines = try readText("/proc/\(pid)/status").split(separator: "\n")
    let line = try #require(lines.first { $0.hasPrefix("\(field):") })
    return line.dropFirst(field.count + 1).split(whereSeparator: \.isWhitespace).joined(separator: " ")
}
