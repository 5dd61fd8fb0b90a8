package import CoveyModel
internal import Synchronization

/// Counts calls.
package final class CallCounters: Sendable {
    /// What was counted of a method.
    package struct Figures: Hashable, Sendable {
        /// Calls that were begun.
        package var started = 0
        /// Calls that go on.
        package var active = 0
        /// Calls that failed, by code.
        package var failed: [ErrorCode: Int] = [:]
    }

    private let figures = Mutex<[String: Figures]>([:])

    /// Counters at zero.
    package init() {}

    /// The figures of each method that was called, by its full name.
    package var snapshot: [String: Figures] { figures.withLock { $0 } }

    func begin(_ method: String) {
        figures.withLock { figures in
            figures[method, default: Figures()].started += 1
            figures[method, default: Figures()].active += 1
        }
    }

    func end(_ method: String, failure: ErrorCode?) {
        figures.withLock { figures in
            figures[method, default: Figures()].active -= 1
            if let failure { figures[method, default: Figures()].failed[failure, default: 0] += 1 }
        }
    }
}
