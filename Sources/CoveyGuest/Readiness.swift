internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem

/// Finds out whether a machine is ready. Lives on the agent's loop.
final class Readiness {
    /// From one early attempt to the next; a machine that boots is asked more often than its probe's period says.
    private static let eager = Duration.milliseconds(100)
    /// For so many attempts.
    private static let eagerAttempts = 20

    private let loop: EventLoop
    private let tell: (GuestEvent) -> Void
    private var probe: Probe?
    private var defaults = ProgramDefaults()
    private var current: ProbeAttempt?
    private var attempts = 0
    private var succeeded = 0
    private var said: String?

    /// Whether it is.
    private(set) var isReady = false

    init(loop: EventLoop, tell: @escaping (GuestEvent) -> Void) {
        self.loop = loop
        self.tell = tell
    }

    /// Begins to find out. With ``GuestReadiness/initSystem`` somebody else does, unless `initSpeaks` is false.
    func begin(_ wanted: GuestReadiness?, _ defaults: ProgramDefaults, initSpeaks: Bool) {
        switch wanted {
        case nil: break
        case .initSystem: if !initSpeaks { reached() }
        case .probe(let probe):
            self.probe = probe
            self.defaults = defaults
            loop.post { [weak self] in self?.ask() }
        }
    }

    /// The machine is ready.
    func reached() {
        guard !isReady else { return }
        isReady = true
        tell(.ready)
    }

    /// Says again why the machine is not ready, to a host that has just come.
    func repeatProblem() {
        if let said, !isReady { tell(.notReady(said)) }
    }

    /// Reaps a child that is the probe's. Returns false where it is not.
    func reapProgram(_ pid: Int32) -> Bool {
        guard let exec = current?.exec, exec.pid == pid else { return false }
        exec.reap()
        return true
    }

    /// Asks no more.
    func end() {
        current?.cancel()
        current = nil
        probe = nil
    }

    private func ask() {
        guard let probe else { return }
        attempts += 1
        current = ProbeAttempt(probe, defaults, loop: loop) { [weak self] failure in self?.answered(failure) }
    }

    private func answered(_ failure: String?) {
        guard let probe else { return }
        current = nil
        if let failure {
            succeeded = 0
            let why = "\(probe.action): \(failure)"
            if why != said {
                said = why
                tell(.notReady(why))
            }
        } else {
            succeeded += 1
            if succeeded >= probe.successes {
                self.probe = nil
                return reached()
            }
        }
        let period = Duration.milliseconds(probe.periodMilliseconds)
        let pause = attempts < Readiness.eagerAttempts ? min(period, Readiness.eager) : period
        _ = loop.after(pause) { [weak self] in self?.ask() }
    }
}
