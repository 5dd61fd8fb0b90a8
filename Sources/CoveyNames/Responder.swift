package import CoveyModel
package import CoveyNetwork
internal import CoveySystem
internal import Synchronization

/// Where questions come in.
package enum ListeningPlace: Hashable, Sendable {
    /// On loopback, from the host.
    case host
    /// On the gateway's address of a network, from its machines.
    case network(NetworkID)
}

/// Turns questions into answers, wherever they came in. What can be said at once is said without waiting.
package final class Responder: Sendable {
    /// What becomes of a datagram.
    package enum Outcome: Sendable {
        /// Nothing.
        case silence
        /// Nothing, as the asker is beyond its rate.
        case flood
        /// These bytes go back.
        case answer([UInt8])
        /// It takes others; ``Responder/finish(_:)`` has the answer. It has to be called.
        case lookup(Lookup)
    }

    /// A question that waits for others, or for what has to happen before its answer goes.
    package struct Lookup: Sendable {
        fileprivate var question: DNSMessage
        fileprivate var asker: Asker
        fileprivate var key: CacheKey
        fileprivate var kept: DNSMessage?
        fileprivate var limit: Int
        fileprivate var opensByName: Bool
    }

    private struct State {
        var table = NameTable()
        var caches: [NetworkID: AnswerCache] = [:]
        var budgets: ClientBudgets
        var figures = NamesFigures()

        func asker(_ source: IPAddress, _ place: ListeningPlace) -> Asker? {
            switch place {
            case .host: .host
            case .network(let network): table.asker(source, through: network)
            }
        }
    }

    private let forwarder: Forwarder
    private let listener: (any AnswerListener)?
    private let limits: NamesLimits
    private let now: @Sendable () -> ContinuousClock.Instant
    private let state: Mutex<State>

    /// A responder that asks others through a forwarder.
    package init(
        forwarder: Forwarder, listener: (any AnswerListener)?, limits: NamesLimits = NamesLimits(),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.forwarder = forwarder
        self.listener = listener
        self.limits = limits
        self.now = now
        state = Mutex(State(budgets: ClientBudgets(limits.client)))
    }

    /// Answers by these names from now on; what was kept for networks that are gone goes.
    package func update(_ names: NameState) {
        let table = NameTable(names)
        let networks = Set(names.networks.map(\.id))
        let interfaces = Set(names.interfaces.map(\.key))
        state.withLock { state in
            state.table = table
            state.caches = state.caches.filter { networks.contains($0.key) }
            state.figures.deniedByInterface = state.figures.deniedByInterface.filter { interfaces.contains($0.key) }
        }
    }

    /// Forgets what others answered: others may answer otherwise.
    package func forgetKept() { state.withLock { $0.caches = [:] } }

    /// What was done so far.
    package var figures: NamesFigures {
        var figures = state.withLock { $0.figures }
        figures.forged = forwarder.forged
        return figures
    }

    /// Takes a place for a connection; nil where the asker has no right to one or has enough. Gives back what
    /// ``disconnect(_:)`` takes.
    package func connect(_ source: IPAddress, _ place: ListeningPlace) -> Asker? {
        let now = now()
        return state.withLock { state in
            guard let asker = state.asker(source, place), state.budgets.connect(asker, now: now) else { return nil }
            return asker
        }
    }

    /// Gives back a connection's place.
    package func disconnect(_ asker: Asker) { state.withLock { $0.budgets.disconnect(asker) } }

    /// Looks at a message that came in; `isStream` is TCP, whose answers are never cut.
    package func receive(
        _ bytes: [UInt8], from source: IPAddress, at place: ListeningPlace, isStream: Bool
    ) -> Outcome {
        // Answers are never answered, or two servers would talk for ever.
        guard bytes.count >= 12, bytes[2] & 0x80 == 0 else {
            state.withLock { $0.figures.malformed += 1 }
            return .silence
        }
        let now = now()
        let (asker, admitted) = state.withLock { state -> (Asker?, Bool) in
            state.figures.questions += 1
            guard let asker = state.asker(source, place) else {
                state.figures.foreign += 1
                return (nil, true)
            }
            let admitted = state.budgets.admit(asker, now: now)
            if !admitted { state.figures.flooded += 1 }
            return (asker, admitted)
        }
        guard admitted else { return .flood }
        let question: DNSMessage
        do {
            question = try DNSMessage(decoding: bytes)
        } catch {
            state.withLock { $0.figures.malformed += 1 }
            var refusal = DNSMessage(id: UInt16(bytes[0]) << 8 | UInt16(bytes[1]))
            refusal.isResponse = true
            refusal.code = .formatError
            return .answer(refusal.encoded())
        }
        let limit = isStream ? 65535 : question.payloadLimit
        guard let asker else { return .answer(question.response(.refused).encoded(limit: limit)) }
        if let code = Self.refusal(question) { return .answer(question.response(code).encoded(limit: limit)) }
        return decide(question, asker, limit, now)
    }

    /// The answer of a lookup: empty where nothing is to be said.
    package func finish(_ lookup: Lookup) async -> [UInt8] {
        var answer: DNSMessage
        if let kept = lookup.kept {
            answer = kept
        } else {
            defer { state.withLock { $0.budgets.end(lookup.asker) } }
            do {
                answer = try await forwarder.ask(lookup.key)
            } catch {
                state.withLock { $0.figures.failed += 1 }
                // No reachable authority: RFC 8914.
                return lookup.question.response(.serverFailure, reason: 22).encoded(limit: lookup.limit)
            }
            let now = now()
            state.withLock { state in
                // Of a network that is gone nothing is kept.
                guard let network = lookup.asker.network else { return }
                state.caches[network]?.keep(answer, lookup.key, now: now)
            }
        }
        if lookup.opensByName, case .interface(let key, _) = lookup.asker { await tell(answer, key) }
        return Self.relay(answer, to: lookup.question).encoded(limit: lookup.limit)
    }

    private func decide(_ message: DNSMessage, _ asker: Asker, _ limit: Int, _ now: ContinuousClock.Instant) -> Outcome
    {
        let question = message.questions[0]
        return state.withLock { state in
            switch state.table.answer(question, asker) {
            case .records(let records):
                state.figures.own += 1
                return .answer(Self.own(message, records, .success, state.table).encoded(limit: limit))
            case .absent:
                state.figures.own += 1
                return .answer(Self.own(message, [], .noSuchName, state.table).encoded(limit: limit))
            case .foreign: break
            }
            // The host has servers of its own, and may well have sent us what they could not answer.
            guard let network = asker.network, message.recursionDesired else {
                return .answer(message.response(.refused).encoded(limit: limit))
            }
            let policy = state.table.egress(asker)
            guard policy.allows(question.name) else {
                state.figures.denied += 1
                if case .interface(let key, _) = asker { state.figures.deniedByInterface[key, default: 0] += 1 }
                // Blocked: RFC 8914.
                return .answer(message.response(.refused, reason: 15).encoded(limit: limit))
            }
            let key = CacheKey(
                question, wantsSignatures: message.edns?.wantsSignatures ?? false,
                checkingDisabled: message.checkingDisabled)
            let kept = state.caches[network, default: AnswerCache(limits.cache)].find(key, now: now)
            let opens = policy.opensByName && (question.type == .a || question.type == .aaaa || question.type == .any)
            if let kept {
                state.figures.kept += 1
                if !opens { return .answer(Self.relay(kept, to: message).encoded(limit: limit)) }
            } else {
                guard state.budgets.begin(asker, now: now) else {
                    state.figures.failed += 1
                    return .answer(message.response(.serverFailure).encoded(limit: limit))
                }
                state.figures.forwarded += 1
            }
            return .lookup(
                Lookup(question: message, asker: asker, key: key, kept: kept, limit: limit, opensByName: opens))
        }
    }

    /// Tells of addresses before the answer goes; a listener that takes too long is not waited for.
    private func tell(_ answer: DNSMessage, _ key: InterfaceKey) async {
        guard let listener, let name = answer.questions.first?.name.description else { return }
        let (addresses, seconds) = answer.addressesOfQuestion
        guard !addresses.isEmpty else { return }
        do {
            try await withDeadline(limits.listener, "the opening of \(name)") {
                await listener.answers(name, to: key, addresses: addresses, timeToLive: .seconds(Int64(seconds)))
            }
        } catch {
            state.withLock { $0.figures.failed += 1 }
        }
    }

    /// Why a message is no question that we answer; nil where it is one.
    private static func refusal(_ message: DNSMessage) -> DNSResponseCode? {
        if message.opcode != 0 { return .notImplemented }
        guard message.questions.count == 1, let question = message.questions.first else { return .formatError }
        if let edns = message.edns, edns.version > 0 { return .badVersion }
        if question.recordClass != 1 || question.type.isMeta { return .refused }
        return nil
    }

    private static func own(
        _ question: DNSMessage, _ records: [DNSRecord], _ code: DNSResponseCode, _ table: NameTable
    ) -> DNSMessage {
        var answer = question.response(code)
        answer.isAuthoritative = true
        answer.answers = records
        if records.isEmpty { answer.authorities = [table.authority] }
        return answer
    }

    /// Another server's answer as the answer to a client's question.
    private static func relay(_ answer: DNSMessage, to question: DNSMessage) -> DNSMessage {
        var relayed = question.response(answer.code)
        relayed.answers = answer.answers
        relayed.authorities = answer.authorities
        relayed.additionals = answer.additionals
        relayed.isAuthentic = answer.isAuthentic
        return relayed
    }
}
