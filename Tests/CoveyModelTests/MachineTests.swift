import CoveyModel
import Testing

@Suite struct LifecycleTests {
    @Test("every phase but the last can come to its deletion, and from there to nothing")
    func deletion() throws {
        for phase in MachinePhase.allCases where phase != .deleting {
            var life = MachineLifecycle(phase)
            try life.move(to: .deleting)
            for next in MachinePhase.allCases where next != .deleting {
                var after = life
                #expect(throws: CoveyError.self) { try after.move(to: next) }
            }
        }
    }

    @Test("a start goes through its phases in order")
    func start() throws {
        var life = MachineLifecycle(.pending)
        for phase in [.scheduled, .preparing, .starting, .running, .stopping, .stopped] as [MachinePhase] {
            try life.move(to: phase)
        }
        #expect(life.phase == .stopped)
    }

    @Test("nothing runs that was not started")
    func noShortcut() {
        for phase in [.pending, .scheduled, .preparing, .stopped, .failed] as [MachinePhase] {
            var life = MachineLifecycle(phase)
            #expect(throws: CoveyError.self) { try life.move(to: .running) }
        }
    }

    @Test("a transition to the phase that is changes nothing")
    func idempotent() throws {
        for phase in MachinePhase.allCases {
            var life = MachineLifecycle(phase)
            try life.move(to: phase)
            #expect(life.phase == phase)
        }
    }
}

@Suite struct RestartPolicyTests {
    @Test("a policy is read back from its text", arguments: ["never", "on-failure", "on-failure:3", "always"])
    func text(text: String) { #expect(RestartPolicy(text)?.description == text) }

    @Test("what is no policy is refused", arguments: ["", "on-failure:", "on-failure:-1", "sometimes", "Always"])
    func refuses(text: String) { #expect(RestartPolicy(text) == nil) }

    @Test("a stop by the user sticks and a reboot starts again, whatever the policy")
    func sticky() {
        for policy in [.never, .always, .onFailure(limit: nil), .onFailure(limit: 0)] as [RestartPolicy] {
            #expect(!policy.restarts(after: .stopped, exitCode: nil, restarts: 0))
            #expect(policy.restarts(after: .rebooted, exitCode: nil, restarts: 99))
        }
    }

    @Test("a power-off from inside ends in stopped unless the policy is always")
    func powerOff() {
        #expect(!RestartPolicy.never.restarts(after: .poweredOff, exitCode: nil, restarts: 0))
        #expect(!RestartPolicy.onFailure(limit: nil).restarts(after: .poweredOff, exitCode: nil, restarts: 0))
        #expect(RestartPolicy.always.restarts(after: .poweredOff, exitCode: nil, restarts: 0))
    }

    @Test("a crash follows the policy and its limit")
    func crash() {
        for end in [.crashed, .vmmDied, .startFailed] as [RunEnd] {
            #expect(!RestartPolicy.never.restarts(after: end, exitCode: nil, restarts: 0))
            #expect(RestartPolicy.onFailure(limit: 2).restarts(after: end, exitCode: nil, restarts: 1))
            #expect(!RestartPolicy.onFailure(limit: 2).restarts(after: end, exitCode: nil, restarts: 2))
            #expect(RestartPolicy.always.restarts(after: end, exitCode: nil, restarts: 1000))
        }
    }

    @Test("a program that succeeded is started again by always alone")
    func program() {
        #expect(!RestartPolicy.onFailure(limit: nil).restarts(after: .programExited, exitCode: 0, restarts: 0))
        #expect(RestartPolicy.onFailure(limit: nil).restarts(after: .programExited, exitCode: 1, restarts: 0))
        #expect(RestartPolicy.always.restarts(after: .programExited, exitCode: 0, restarts: 0))
    }

    @Test("the back-off doubles up to its ceiling and never overflows")
    func backoff() {
        let backoff = Backoff(first: .seconds(1), ceiling: .seconds(300))
        #expect((0..<5).map { backoff.delay(attempt: $0) } == [1, 2, 4, 8, 16].map { .seconds($0) })
        #expect(backoff.delay(attempt: 1_000_000) == .seconds(300))
        #expect(backoff.delay(attempt: -1) == .seconds(1))
    }
}

@Suite struct ErrorTests {
    @Test("a cause of the same code is flattened and its remedy kept")
    func flatten() {
        let inner = CoveyError(.exhausted, "no space", remedy: "free some")
        let outer = CoveyError(.exhausted, "make disk", cause: inner)
        #expect(outer.message == "make disk: no space")
        #expect(outer.remedy == "free some")
        #expect(outer.causes.isEmpty)
    }

    @Test("a cause of another code stands behind the message")
    func causes() {
        let outer = CoveyError(.failure, "start vm a", cause: CoveyError(.deadline, "no answer"))
        #expect(outer.description == "start vm a: no answer")
        #expect(outer.code == .failure)
    }

    @Test("what may succeed later says so")
    func retryable() {
        #expect(CoveyError(.unavailable, "x").retryable)
        #expect(CoveyError(.outcomeUnknown, "x").retryable)
        #expect(!CoveyError(.invalid, "x").retryable)
    }

    @Test("a condition keeps its time while its state stays")
    func conditions() {
        var conditions: [Condition] = []
        let old = Timestamp(milliseconds: 1)
        let new = Timestamp(milliseconds: 2)
        conditions.set(Condition(type: "Ready", state: .no, reason: "Booting", message: "a", since: old))
        conditions.set(Condition(type: "Ready", state: .no, reason: "Booting", message: "b", since: new))
        #expect(conditions.map(\.since) == [old])
        #expect(conditions.map(\.message) == ["b"])
        conditions.set(Condition(type: "Ready", state: .yes, reason: "Agent", message: "c", since: new))
        #expect(conditions.map(\.since) == [new])
        conditions.clear("Ready")
        #expect(conditions.isEmpty)
    }
}
