/// What a change of what was seen tells: pure, so that each change has its events in its own transaction.
extension MachineStatus {
    /// What happened between an older status and this one.
    package func happenings(since old: MachineStatus) -> [Happening] {
        var found: [Happening] = []
        if old.phase == .pending && (phase == .scheduled || phase == .preparing) {
            found.append(Happening(.scheduled, "it runs on node \(node.map { "\($0)" } ?? "unknown")"))
        }
        if restarts > old.restarts {
            let end = old.lastEnd?.sentence ?? "it ended"
            found.append(Happening(.restarting, "restart \(restarts) after \(end)"))
        }
        if phase == .running && old.phase == .starting {
            found.append(Happening(.started, "run \(runGeneration) began on \(driver?.rawValue ?? "its driver")"))
        }
        if isReady && !old.isReady { found.append(Happening(.ready, "it is ready")) }
        if let lastEnd, endedAt != old.endedAt { found.append(ending(lastEnd)) }
        return found
    }

    private var isReady: Bool { conditions.contains { $0.type == "Ready" && $0.state == .yes } }

    private func ending(_ end: RunEnd) -> Happening {
        switch end {
        case .programExited: Happening(.stopped, "its program ended with code \(exitCode ?? 0)")
        case .stopped, .poweredOff, .rebooted: Happening(.stopped, end.sentence)
        case .crashed, .vmmDied: Happening(.crashed, lastError?.message ?? end.sentence)
        case .startFailed: Happening(.startFailed, lastError?.message ?? end.sentence)
        }
    }
}

extension RunEnd {
    fileprivate var sentence: String {
        switch self {
        case .programExited: "its program ended"
        case .stopped: "it was asked to stop"
        case .poweredOff: "the guest powered off"
        case .rebooted: "the guest rebooted"
        case .crashed: "the guest crashed"
        case .vmmDied: "its VMM ended"
        case .startFailed: "its start failed"
        }
    }
}

extension ImageStatus {
    /// What happened between an older status and this one.
    package func happenings(since old: ImageStatus) -> [Happening] {
        guard state != old.state else { return [] }
        return switch state {
        case .ready: [Happening(.imageReady, "it is there" + (size.map { ", \($0.rounded)" } ?? ""))]
        case .failed: [Happening(.imageFailed, lastError?.message ?? "it could not be made")]
        case .pending, .building, .deleting: []
        }
    }
}

extension OperationStatus {
    /// What happened between an older status and this one.
    package func happenings(since old: OperationStatus, _ kind: OperationKind) -> [Happening] {
        guard state == .failed, old.state != .failed else { return [] }
        return [
            Happening(
                .operationFailed, "\(kind.rawValue) failed: \(error?.message ?? "nobody said why")",
                detail: kind.rawValue)
        ]
    }
}

extension [Condition] {
    /// Which conditions have another state than in an older list.
    package func happenings(since old: [Condition]) -> [Happening] {
        var found = compactMap { condition -> Happening? in
            guard old.first(where: { $0.type == condition.type })?.state != condition.state else { return nil }
            return Happening(
                .conditionChanged,
                "\(condition.type) is \(condition.state.rawValue): \(condition.reason): \(condition.message)",
                detail: condition.type)
        }
        for condition in old where !contains(where: { $0.type == condition.type }) {
            found.append(
                Happening(.conditionChanged, "\(condition.type) is not said any more", detail: condition.type))
        }
        return found
    }
}
