import CoveyModel
import CoveySystem
import Glibc
import Testing

/// Daemon and guard are killed at random instants while machines are made and deleted.
@Suite("Daemon and guard are killed at random", .tags(.machine), .serialized, .host)
struct KillTests {
    private enum Victim: CaseIterable { case daemon, supervisor, both }

    private struct Resident {
        var name: String
        var pid: Int32?
        var boot: String
        var generation: Int
    }

    @Test("every machine is running or gone as wanted, none runs twice, and those that ran were never interrupted")
    func random() async throws {
        let host = try await TestHost.current()
        let seed = UInt64.random(in: .min ... .max)
        var generator = SplitMix(state: seed)
        let residents = try await makeResidents(host)
        let count = Soak.count(8, soak: 20)
        var wanted: [String] = []
        for number in 0..<count {
            let name = "chaos-\(number)"
            wanted.append(name)
            let doomed = number % 2 == 1 ? wanted.remove(at: Int.random(in: 0..<wanted.count, using: &generator)) : nil
            let delay = Duration.milliseconds(Int.random(in: 0..<2500, using: &generator))
            let victim = Victim.allCases.randomElement(using: &generator) ?? .both
            async let orders: Void = order(host, create: name, delete: doomed)
            try await Task.sleep(for: delay)
            try await end(host, victim)
            try await orders
        }
        for name in wanted { try await host.ready(name, within: .seconds(180)) }
        for number in 0..<count where !wanted.contains("chaos-\(number)") {
            try await eventually("chaos-\(number) is gone (seed \(seed))") { try await host.isGone("chaos-\(number)") }
        }
        for name in wanted {
            let machine = try await host.inspect(name)
            #expect(try host.machineProcesses(machine.id) == [machine.status.pid], "\(name), seed \(seed)")
            #expect(try await host.succeed("exec", name, "--", "hostname").text == "\(name)\n")
        }
        for resident in residents {
            let machine = try await host.inspect(resident.name)
            #expect(machine.status.pid == resident.pid, "seed \(seed)")
            #expect(machine.status.runGeneration == resident.generation, "seed \(seed)")
            #expect(try await host.bootID(resident.name) == resident.boot, "seed \(seed)")
        }
        let names = try await host.succeed("vm", "ls", "-q").lines
        #expect(Set(names) == Set(wanted + residents.map(\.name)), "seed \(seed)")
        #expect(try await host.succeed("doctor", "--leaks", "-q").text.isEmpty, "seed \(seed)")
        #expect(try listFolder("\(host.root)/vms").count == names.count, "seed \(seed)")
        #expect(try listFolder("\(host.root)/run/vm").count == names.count, "seed \(seed)")
    }

    private func makeResidents(_ host: TestHost) async throws -> [Resident] {
        var residents: [Resident] = []
        for name in ["resident-1", "resident-2"] {
            try await host.succeed("vm", "create", "--name", name, "busybox")
            let machine = try await host.inspect(name)
            residents.append(
                Resident(
                    name: name, pid: machine.status.pid, boot: try await host.bootID(name),
                    generation: machine.status.runGeneration))
        }
        return residents
    }

    /// Gives both orders until they were taken; what is in the way of a client is tried again, as a user would.
    private func order(_ host: TestHost, create: String, delete: String?) async throws {
        try await eventually("\(create) was accepted", within: .seconds(60)) {
            let outcome = try await host.run("vm", "create", "--name", create, "--wait", "created", "busybox")
            return outcome.code == 0 || outcome.code == 4
        }
        guard let delete else { return }
        try await eventually("\(delete) was deleted", within: .seconds(60)) {
            let outcome = try await host.run("vm", "rm", "-f", delete, limit: .seconds(60))
            return outcome.code == 0 || outcome.code == 3
        }
    }

    private func end(_ host: TestHost, _ victim: Victim) async throws {
        switch victim {
        case .daemon: try await host.killDaemon()
        case .supervisor: try await host.killGuard()
        case .both:
            try await host.killGuard()
            try await host.killDaemon()
        }
        if host.daemon == nil { try await host.start() }
    }
}

/// A small generator whose seed can be told. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
