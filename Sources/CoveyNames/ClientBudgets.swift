/// What each asker may do, so that one that floods takes nothing from the others: a value without clock.
package struct ClientBudgets: Sendable {
    /// The bounds of one asker.
    package struct Limits: Hashable, Sendable {
        /// Questions a second, also in one go after a rest; nil is without bound.
        package var questionsPerSecond: Int? = 2000
        /// Questions that wait for others' answers.
        package var outstanding = 64
        /// Questions of all askers together that wait for others' answers.
        package var outstandingTogether = 2048
        /// Connections by TCP.
        package var connections = 8
        /// The usual ones.
        package init() {}
    }

    private struct Account: Sendable {
        var tokens: Double
        var filled: ContinuousClock.Instant
        var outstanding = 0
        var connections = 0
    }

    /// As many accounts as are kept; idle ones go beyond.
    private static let mostAccounts = 4096

    private let limits: Limits
    private var accounts: [Asker: Account] = [:]
    private var together = 0

    /// Budgets that nobody has used.
    package init(_ limits: Limits = Limits()) { self.limits = limits }

    /// Whether a question may be looked at.
    package mutating func admit(_ asker: Asker, now: ContinuousClock.Instant) -> Bool {
        // What floods the host's own listener is on the host.
        guard asker != .host, let rate = limits.questionsPerSecond else { return true }
        var account = account(asker, now)
        let passed = (now - account.filled) / .seconds(1)
        account.tokens = min(Double(rate), account.tokens + passed * Double(rate))
        account.filled = now
        let admitted = account.tokens >= 1
        if admitted { account.tokens -= 1 }
        accounts[asker] = account
        return admitted
    }

    /// Takes a place for a question to others; ``end(_:)`` gives it back.
    package mutating func begin(_ asker: Asker, now: ContinuousClock.Instant) -> Bool {
        var account = account(asker, now)
        guard account.outstanding < limits.outstanding, together < limits.outstandingTogether else { return false }
        account.outstanding += 1
        together += 1
        accounts[asker] = account
        return true
    }

    /// Gives back a place.
    package mutating func end(_ asker: Asker) {
        accounts[asker]?.outstanding -= 1
        together -= 1
    }

    /// Takes a place for a connection; ``disconnect(_:)`` gives it back.
    package mutating func connect(_ asker: Asker, now: ContinuousClock.Instant) -> Bool {
        var account = account(asker, now)
        guard asker == .host || account.connections < limits.connections else { return false }
        account.connections += 1
        accounts[asker] = account
        return true
    }

    /// Gives back a connection's place.
    package mutating func disconnect(_ asker: Asker) { accounts[asker]?.connections -= 1 }

    private mutating func account(_ asker: Asker, _ now: ContinuousClock.Instant) -> Account {
        if let account = accounts[asker] { return account }
        if accounts.count >= Self.mostAccounts {
            accounts = accounts.filter { $0.value.outstanding > 0 || $0.value.connections > 0 }
        }
        return Account(tokens: Double(limits.questionsPerSecond ?? 0), filled: now)
    }
}
