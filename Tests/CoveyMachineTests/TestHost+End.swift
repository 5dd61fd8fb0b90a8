import CoveyModel
import CoveySystem
import Glibc

/// All that a host still has, a sentence each.
extension TestHost {
    /// Deletes the machines, ends daemon and guard in order, and removes all. Returns what was left behind by itself.
    func end() async -> [String] {
        var problems: [String] = []
        func attempt(_ what: String, _ body: () async throws -> Void) async {
            do { try await body() } catch { problems.append("\(what): \(error)") }
        }
        await attempt("ending the machines") { try await removeMachines() }
        await attempt("looking at what machines leave") { problems += try leftOfMachines() }
        await attempt("ending the daemon") {
            let ending = try await stopDaemon()
            if ending != .exited(0) { problems.append("the daemon ended with \(ending): \(try logTail())") }
        }
        await attempt("ending the guard") {
            for pid in try guards() where kill(pid, SIGTERM) != 0 { throw SystemError("kill", "guard") }
            try await eventually("the guard has ended", within: .seconds(10)) { try guards().isEmpty }
        }
        await attempt("looking at what is left") { problems += try left() }
        if !problems.isEmpty { await attempt("reading the log") { problems.append(try logTail()) } }
        await attempt("ending etcd") { try await endStore() }
        await attempt("cleaning up") { try await sweep() }
        return problems
    }

    private func removeMachines() async throws {
        guard try instance() != nil else { return }
        _ = try reaped()
        if daemon == nil { try await start() }
        for name in try await succeed("vm", "ls", "-q").lines {
            let outcome = try await run("vm", "rm", "-f", name, limit: .seconds(60))
            // One of --rm may go by itself meanwhile.
            guard outcome.code == 0 || outcome.code == 3 else { throw CoveyError(.failure, "vm rm -f: \(outcome)") }
        }
        try await eventually("no machine is left") { try await succeed("vm", "ls", "-q").lines.isEmpty }
        let leaks = try await succeed("doctor", "--leaks", "-q").lines
        guard leaks.isEmpty else { throw CoveyError(.failure, "leaks: \(leaks)") }
    }

    /// What machines have left where there is none any more.
    func leftOfMachines() throws -> [String] {
        guard let instance = try instance() else { return [] }
        var found: [String] = []
        for folder in ["vms", "run/vm", "run/memory", "images/.uploads"] where fileExists("\(root)/\(folder)") {
            found += try listFolder("\(root)/\(folder)").map { "file \(folder)/\($0)" }
        }
        found += try groups(instance).filter { $0.contains("/vm-") }.map { "control group \($0)" }
        found += try HostProcess.all().filter { $0.groups.contains("/covey-\(instance)/vm-") }.map(\.description)
        return found
    }

    /// What is left where daemon and guard have ended.
    private func left() throws -> [String] {
        guard let instance = try instance() else { return [] }
        var found = try HostProcess.all().filter { belongs($0, instance) }.map(\.description)
        found += try mounts().filter { $0 != root }.map { "mount \($0)" }
        found += try groups(instance).map { "control group \($0)" }
        return found
    }

    private func belongs(_ process: HostProcess, _ instance: String) -> Bool {
        process.groups.contains("/covey-\(instance)")
            || process.arguments.contains { $0 == root || $0.hasPrefix("\(root)/") }
    }

    /// What is mounted on the root, by a test, and below it.
    private func mounts() throws -> [String] {
        try readText("/proc/self/mountinfo").split(separator: "\n").compactMap { line in
            line.split(separator: " ").dropFirst(4).first.map(String.init)
        }.filter { $0 == root || $0.hasPrefix("\(root)/") }
    }

    /// The instance's control groups, inner ones first.
    private func groups(_ instance: String) throws -> [String] {
        let top = "/sys/fs/cgroup"
        let places = try [top] + listFolder(top).map { "\(top)/\($0)" }
        return try places.map { "\($0)/covey-\(instance)" }.filter { fileExists($0) }.flatMap { folder in
            try listFolder(folder).map { "\(folder)/\($0)" }.filter { fileExists("\($0)/cgroup.procs") } + [folder]
        }
    }

    /// Takes everything away, however it was left.
    private func sweep() async throws {
        if let instance = try instance() {
            try await eventually("all processes of \(root) have ended", within: .seconds(20)) {
                let processes = try HostProcess.all().filter { belongs($0, instance) }
                for process in processes { kill(process.pid, SIGKILL) }
                _ = try reaped()
                return processes.isEmpty
            }
            for path in try mounts().reversed() {
                _ = try await runProgram("umount", ["-l", path])
            }
            try await eventually("control groups of \(instance) are gone", within: .seconds(10)) {
                let groups = try groups(instance)
                for path in groups { rmdir(path) }
                return groups.isEmpty
            }
        }
        try removeTree(folder)
    }
}
