internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import Glibc

/// A process that no supervisor knows any more, found again by its identity.
enum UnsupervisedProcess {
    /// Kills the process with this identity, if it runs, and waits until it is gone.
    /// Errors: ``ErrorCode/deadline``.
    static func end(
        _ identity: ProcessIdentity, within limit: Duration, reactor: Reactor, pool: BlockingPool
    ) async throws {
        let found = try await pool.run { try open(identity) }
        guard let found else { return }
        if covey_pidfd_send_signal(found.raw, SIGKILL) != 0 && errno != ESRCH {
            throw SystemError("pidfd_send_signal", "process \(identity.pid)").coveyError
        }
        try await withDeadline(limit, "the end of process \(identity.pid) after its kill") {
            try await reactor.readable(found.raw)
        }
    }

    /// Opens the process and then checks that it is the one, so that the pid cannot have changed hands between.
    private static func open(_ identity: ProcessIdentity) throws -> SharedDescriptor? {
        guard identity.pid > 1, try bootID() == identity.bootID else { return nil }
        let descriptor = covey_pidfd_open(identity.pid)
        guard descriptor >= 0 else {
            if errno == ESRCH { return nil }
            throw SystemError("pidfd_open", "process \(identity.pid)").coveyError
        }
        let found = SharedDescriptor(FileDescriptor(owning: descriptor))
        return startTime(identity.pid) == identity.startTime ? found : nil
    }

    /// Field 22 of `/proc/PID/stat`; nil where the process is gone. The second field, the name, may hold anything.
    private static func startTime(_ pid: Int32) -> UInt64? {
        let text: String
        do { text = try readText("/proc/\(pid)/stat") } catch { return nil }
        guard let name = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: name)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }

    private static func bootID() throws -> String {
        let text = try readText("/proc/sys/kernel/random/boot_id")
        return text.last == "\n" ? String(text.dropLast()) : text
    }
}
