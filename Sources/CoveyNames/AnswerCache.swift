package import CoveyModel

/// What was asked of others, as far as answers to it may differ.
package struct CacheKey: Hashable, Sendable {
    /// The question.
    package var question: DNSQuestion
    /// Whether signatures are wanted with the answer.
    package var wantsSignatures: Bool
    /// Whether they go unchecked.
    package var checkingDisabled: Bool

    /// The key of a client's message with one question.
    package init(_ question: DNSQuestion, wantsSignatures: Bool = false, checkingDisabled: Bool = false) {
        self.question = question
        self.wantsSignatures = wantsSignatures
        self.checkingDisabled = checkingDisabled
    }
}

/// Answers of others, as long as they are good: a value without clock. What was used longest ago goes first.
///
/// Each network has its own, so that no machine sees by the time an answer takes, or pushes out, what another network asks.
/// Source: RFC 1035 7.4, RFC 2308.
package struct AnswerCache: Sendable {
    /// How much is kept.
    package struct Limits: Hashable, Sendable {
        /// Answers.
        package var entries = 1024
        /// Bytes, about.
        package var bytes = 512 << 10
        /// How long an answer is kept at most.
        package var longest = Duration.seconds(3600)
        /// How long it is known at most that there is none.
        package var longestAbsent = Duration.seconds(300)

        /// The usual ones.
        package init() {}
    }

    private struct Entry: Sendable {
        var key: CacheKey
        var message: DNSMessage
        var kept: ContinuousClock.Instant
        var until: ContinuousClock.Instant
        var size: Int
        // The neighbours in the order of use, by their places; -1 is none.
        var newer = -1
        var older = -1
    }

    private let limits: Limits
    private var places: [CacheKey: Int] = [:]
    private var entries: [Entry] = []
    private var newest = -1
    private var oldest = -1
    /// What is kept together, in bytes, about.
    package private(set) var bytes = 0

    /// An empty cache.
    package init(_ limits: Limits = Limits()) { self.limits = limits }

    /// How many answers are kept.
    package var count: Int { places.count }

    /// The answer to a question, its times to live lowered by its age; nil where none is good.
    package mutating func find(_ key: CacheKey, now: ContinuousClock.Instant) -> DNSMessage? {
        guard let place = places[key] else { return nil }
        let entry = entries[place]
        guard now < entry.until else {
            remove(place)
            return nil
        }
        unlink(place)
        link(place)
        let age = UInt32(clamping: (now - entry.kept).components.seconds)
        return entry.message.aged(age)
    }

    /// Keeps an answer as long as it says, within the limits. One that fails, was cut, or says no time is not kept.
    package mutating func keep(_ message: DNSMessage, _ key: CacheKey, now: ContinuousClock.Instant) {
        guard let lifetime = lifetime(message) else { return }
        if let place = places[key] { remove(place) }
        let size = message.encoded().count * 3 + 256
        guard limits.entries > 0, size <= limits.bytes else { return }
        while places.count >= limits.entries || bytes + size > limits.bytes, oldest >= 0 { remove(oldest) }
        entries.append(Entry(key: key, message: message, kept: now, until: now + lifetime, size: size))
        places[key] = entries.count - 1
        bytes += size
        link(entries.count - 1)
    }

    private func lifetime(_ message: DNSMessage) -> Duration? {
        guard !message.isTruncated else { return nil }
        var seconds = message.answers.map(\.timeToLive).min().map { Duration.seconds(Int64($0)) } ?? limits.longest
        seconds = min(seconds, limits.longest)
        switch message.code {
        case .success where message.holdsAnswer: break
        case .success, .noSuchName:
            guard let absent = message.absenceTime else { return nil }
            seconds = min(seconds, .seconds(Int64(absent)), limits.longestAbsent)
        case _: return nil
        }
        return seconds > .zero ? seconds : nil
    }

    private mutating func link(_ place: Int) {
        entries[place].older = newest
        entries[place].newer = -1
        if newest >= 0 { entries[newest].newer = place } else { oldest = place }
        newest = place
    }

    private mutating func unlink(_ place: Int) {
        let (newer, older) = (entries[place].newer, entries[place].older)
        if newer >= 0 { entries[newer].older = older } else { newest = older }
        if older >= 0 { entries[older].newer = newer } else { oldest = newer }
    }

    private mutating func remove(_ place: Int) {
        unlink(place)
        bytes -= entries[place].size
        places[entries[place].key] = nil
        // The last entry moves to the free place.
        let last = entries.count - 1
        if place != last {
            let moved = entries[last]
            entries[place] = moved
            places[moved.key] = place
            if moved.newer >= 0 { entries[moved.newer].older = place } else { newest = place }
            if moved.older >= 0 { entries[moved.older].newer = place } else { oldest = place }
        }
        entries.removeLast()
    }
}

extension DNSMessage {
    /// Whether it holds a record of the type that was asked for, at the end of the aliases or at once.
    var holdsAnswer: Bool {
        guard let type = questions.first?.type else { return false }
        return answers.contains { $0.type == type || type == .any }
    }

    /// How long an absence may be kept, in seconds; nil where it does not say.
    var absenceTime: UInt32? {
        for record in authorities {
            if case .authority(let authority) = record.content { return min(record.timeToLive, authority.minimum) }
        }
        return nil
    }

    /// The same message some seconds later.
    func aged(_ seconds: UInt32) -> DNSMessage {
        var message = self
        func age(_ records: inout [DNSRecord]) {
            for index in records.indices { records[index].timeToLive -= min(seconds, records[index].timeToLive) }
        }
        age(&message.answers)
        age(&message.authorities)
        age(&message.additionals)
        return message
    }

    /// The addresses that the name asked for has, by its aliases where it has some, and how long they are good, in seconds.
    package var addressesOfQuestion: (addresses: [IPAddress], timeToLive: UInt32) {
        guard let question = questions.first else { return ([], 0) }
        var name = question.name
        var shortest = UInt32.max
        var seen: Set<DNSName> = [name]
        while let alias = answers.first(where: { $0.name == name && $0.type == .cname }),
            case .name(let target) = alias.content, seen.insert(target).inserted
        {
            shortest = min(shortest, alias.timeToLive)
            name = target
        }
        var addresses: [IPAddress] = []
        for record in answers where record.name == name {
            guard case .address(let address) = record.content else { continue }
            addresses.append(address)
            shortest = min(shortest, record.timeToLive)
        }
        return (addresses, addresses.isEmpty ? 0 : shortest)
    }
}
