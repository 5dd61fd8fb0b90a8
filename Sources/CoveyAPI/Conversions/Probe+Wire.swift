package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_Probe {
    /// The message of a probe.
    package init(_ model: Probe) {
        self.init()
        switch model.action {
        case .exec(let arguments): exec = .with { $0.arguments = arguments }
        case .tcp(let port): tcp = .with { $0.port = UInt32(port) }
        case .http(let port, let path):
            http = .with {
                $0.port = UInt32(port)
                $0.path = path
            }
        }
        periodMilliseconds = model.periodMilliseconds
        timeoutMilliseconds = model.timeoutMilliseconds
        startPeriodMilliseconds = model.startPeriodMilliseconds
        failures = Int64(model.failures)
        successes = Int64(model.successes)
    }
}

extension Probe {
    /// The value of a message. Errors: ``ErrorCode/invalid`` where it tries nothing, or a number is out of range.
    package init(_ message: Covey_V1_Probe, _ field: String) throws(CoveyError) {
        let action: Action
        switch message.action {
        case .exec(let exec): action = .exec(exec.arguments)
        case .tcp(let tcp): action = .tcp(port: try Probe.port(tcp.port, field))
        case .http(let http):
            action = .http(port: try Probe.port(http.port, field), path: http.path.isEmpty ? "/" : http.path)
        case nil: throw CoveyError(.invalid, "\(field) is a probe that tries nothing")
        }
        self.init(action)
        if message.hasPeriodMilliseconds { periodMilliseconds = message.periodMilliseconds }
        if message.hasTimeoutMilliseconds { timeoutMilliseconds = message.timeoutMilliseconds }
        if message.hasStartPeriodMilliseconds { startPeriodMilliseconds = message.startPeriodMilliseconds }
        if message.hasFailures { failures = try Int(wire: message.failures, "\(field).failures") }
        if message.hasSuccesses { successes = try Int(wire: message.successes, "\(field).successes") }
    }

    private static func port(_ number: UInt32, _ field: String) throws(CoveyError) -> UInt16 {
        guard let port = UInt16(exactly: number) else {
            throw CoveyError(.invalid, "\(field) asks port \(number)", remedy: "ports are 1 to 65535")
        }
        return port
    }
}
