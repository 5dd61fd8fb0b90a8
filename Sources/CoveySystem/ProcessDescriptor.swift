internal import CCovey
internal import Glibc

/// A process as a descriptor (pidfd): names one process for ever, whatever becomes of its pid.
///
/// Readable once the process has ended. Source: pidfd_open(2).
package struct ProcessDescriptor: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// How a child ended.
    package enum Ending: Hashable, Sendable {
        /// By itself, with a status.
        case exited(Int32)
        /// By a signal.
        case signalled(Int32)
    }

    /// Takes ownership of a pidfd.
    package init(owning raw: Int32) { descriptor = FileDescriptor(owning: raw) }

    /// Opens the process that has a pid now. Errors: `ESRCH` where there is none.
    package init(pid: Int32) throws(SystemError) {
        self.init(owning: try check("pidfd_open", "process \(pid)") { covey_pidfd_open(pid) })
    }

    /// The descriptor's number, valid as long as this value lives.
    package var raw: Int32 { descriptor.raw }

    /// Sends a signal. Errors: `ESRCH` where the process has been reaped.
    package func send(_ signal: Int32) throws(SystemError) {
        try check("pidfd_send_signal") { covey_pidfd_send_signal(descriptor.raw, signal) }
    }

    /// Reaps a child that has ended; nil while it runs. Errors: `ECHILD` where it is no child of ours.
    package func reap() throws(SystemError) -> Ending? {
        var value: Int32 = 0
        switch try check("waitid", "", { covey_reap(descriptor.raw, &value) }) {
        case 0: return nil
        case 1: return .exited(value)
        default: return .signalled(value)
        }
    }

    /// Kills a child and reaps it; nil where it has not ended within a second. Blocks. Errors: `ECHILD` where it was
    /// reaped or is no child of ours.
    @discardableResult
    package func kill() throws(SystemError) -> Ending? {
        do throws(SystemError) { try send(SIGKILL) } catch  where error.isErrno(ESRCH) {}
        var wait = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
        try check("poll", "a process") { poll(&wait, 1, 1000) }
        return try reap()
    }
}

/// What `/proc/PID/stat` says. Source: proc_pid_stat(5).
package struct ProcessFacts: Hashable, Sendable {
    /// The pid.
    package let pid: Int32
    /// The state's letter: `R`, `S`, `D`, `Z`, …
    package let state: Character
    /// The parent's pid.
    package let parent: Int32
    /// The session's id.
    package let session: Int32
    /// Clock ticks from boot to the start (field 22).
    package let startTime: UInt64

    /// Reads the facts of a process. Nil where there is none.
    package init?(pid: Int32) {
        guard let text = try? readText("/proc/\(pid)/stat") else { return nil }
        self.init(stat: text)
    }

    /// Reads the text of `/proc/PID/stat`; the program's name may hold blanks and parentheses. Nil for anything else.
    package init?(stat text: String) {
        guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close,
            let pid = Int32(text[..<open].filter { $0 != " " })
        else { return nil }
        let fields = text[text.index(after: close)...].split(whereSeparator: \.isWhitespace)
        guard fields.count >= 20, let state = fields[0].first, let parent = Int32(fields[1]),
            let session = Int32(fields[3]), let startTime = UInt64(fields[19])
        else { return nil }
        self.pid = pid
        self.state = state
        self.parent = parent
        self.session = session
        self.startTime = startTime
    }

    /// Whether it has ended and only waits to be reaped.
    package var isZombie: Bool { state == "Z" || state == "X" }
}

/// The id of this boot of the kernel.
package func currentBootID() throws(SystemError) -> String {
    String(try readText("/proc/sys/kernel/random/boot_id").filter { !$0.isWhitespace })
}

/// Signals as a descriptor, blocked in the thread that makes it and in those it starts.
package struct SignalDescriptor: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// Takes the signals away from their handlers.
    package init(_ signals: [Int32]) throws(SystemError) {
        descriptor = FileDescriptor(
            owning: try check("signalfd") { covey_signal_descriptor(signals, signals.count) })
    }

    /// The descriptor's number, valid as long as this value lives.
    package var raw: Int32 { descriptor.raw }

    /// The next signal; nil where none waits.
    package func next() throws(SystemError) -> Int32? {
        let signal = try check("read", "signalfd") { covey_next_signal(descriptor.raw) }
        return signal == 0 ? nil : signal
    }
}
