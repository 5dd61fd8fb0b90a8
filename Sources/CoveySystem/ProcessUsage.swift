package import CoveyModel
internal import Glibc

/// What a process has used. Source: proc_pid_stat(5).
package struct ProcessUsage: Hashable, Sendable {
    /// Time on CPUs, its own and the kernel's for it.
    package let cpuTime: Duration
    /// Memory that is resident.
    package let residentMemory: ByteCount
    /// Clock ticks from boot to its start, which tells it from another with the same pid.
    package let startTime: UInt64

    /// Reads what a process has used. Nil where there is none.
    package init?(pid: Int32) {
        guard let text = try? readText("/proc/\(pid)/stat") else { return nil }
        self.init(
            stat: text, ticksPerSecond: Int64(sysconf(Int32(_SC_CLK_TCK))),
            pageSize: Int64(sysconf(Int32(_SC_PAGESIZE))))
    }

    /// Reads the text of `/proc/PID/stat`. Nil for anything else.
    package init?(stat text: String, ticksPerSecond: Int64, pageSize: Int64) {
        // The program's name may hold blanks and parentheses.
        guard ticksPerSecond > 0, let close = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: close)...].split(whereSeparator: \.isWhitespace)
        guard fields.count >= 22, let user = Int64(fields[11]), let system = Int64(fields[12]),
            let startTime = UInt64(fields[19]), let pages = Int64(fields[21])
        else { return nil }
        cpuTime = .nanoseconds((user + system) * (1_000_000_000 / ticksPerSecond))
        residentMemory = ByteCount(pages * pageSize)
        self.startTime = startTime
    }
}
