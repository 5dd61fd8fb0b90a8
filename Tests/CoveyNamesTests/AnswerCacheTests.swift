import CoveyModel
import CoveyNames
import CoveyTesting
import Testing

@Suite struct AnswerCacheTests {
    private let start = ContinuousClock.now

    private func answer(_ text: String, timeToLive: UInt32 = 60) throws -> (CacheKey, DNSMessage) {
        let question = DNSQuestion(try name(text), .a)
        return (
            CacheKey(question),
            try DNSMessage(id: 1, question: question).answering(["10.0.0.1"], timeToLive: timeToLive)
        )
    }

    private func absence(_ text: String, _ code: DNSResponseCode, timeToLive: UInt32?, minimum: UInt32) throws -> (
        CacheKey, DNSMessage
    ) {
        let question = DNSQuestion(try name(text), .a)
        var message = DNSMessage(id: 1, question: question).response(code)
        if let timeToLive, case .authority(var authority) = NameTable().authority.content {
            authority.minimum = minimum
            message.authorities = [DNSRecord(try name("example"), .soa, timeToLive: timeToLive, .authority(authority))]
        }
        return (CacheKey(question), message)
    }

    @Test("an answer is kept for its time to live, which grows less, and no longer than the bound")
    func lifetime() throws {
        var cache = AnswerCache()
        let (key, message) = try answer("a.example", timeToLive: 60)
        cache.keep(message, key, now: start)
        #expect(cache.find(key, now: start)?.answers.first?.timeToLive == 60)
        #expect(cache.find(key, now: start + .seconds(59))?.answers.first?.timeToLive == 1)
        #expect(cache.find(key, now: start + .seconds(60)) == nil)
        #expect(cache.count == 0 && cache.bytes == 0)
        let (long, forever) = try answer("b.example", timeToLive: .max)
        cache.keep(forever, long, now: start)
        #expect(cache.find(long, now: start + .seconds(3599)) != nil)
        #expect(cache.find(long, now: start + .seconds(3600)) == nil)
        let (never, zero) = try answer("c.example", timeToLive: 0)
        cache.keep(zero, never, now: start)
        #expect(cache.find(never, now: start) == nil)
    }

    @Test("an absence is kept as its authority says, within its bound; failures and answers that were cut are not kept")
    func absences() throws {
        var cache = AnswerCache()
        for code in [DNSResponseCode.noSuchName, .success] {
            let (key, message) = try absence("\(code.rawValue).example", code, timeToLive: 100, minimum: 30)
            cache.keep(message, key, now: start)
            #expect(cache.find(key, now: start + .seconds(29))?.code == code)
            #expect(cache.find(key, now: start + .seconds(30)) == nil)
        }
        let (long, far) = try absence("long.example", .noSuchName, timeToLive: 86400, minimum: 86400)
        cache.keep(far, long, now: start)
        #expect(cache.find(long, now: start + .seconds(299)) != nil)
        #expect(cache.find(long, now: start + .seconds(300)) == nil)
        let (silent, none) = try absence("silent.example", .noSuchName, timeToLive: nil, minimum: 0)
        cache.keep(none, silent, now: start)
        let (failing, failure) = try absence("failing.example", .serverFailure, timeToLive: 60, minimum: 60)
        cache.keep(failure, failing, now: start)
        var (cut, message) = try answer("cut.example")
        message.isTruncated = true
        cache.keep(message, cut, now: start)
        #expect(cache.count == 0)
    }

    @Test("what was used longest ago goes first, and neither bound is crossed", arguments: 0..<4)
    func bounds(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var limits = AnswerCache.Limits()
        limits.entries = 8
        limits.bytes = 4000
        var cache = AnswerCache(limits)
        // The model: names in the order of use, the newest last.
        var order: [String] = []
        for step in 0..<2000 {
            let text = "n\(Int.random(in: 0..<20, using: &random)).example"
            let (key, message) = try answer(text)
            if Bool.random(using: &random) {
                cache.keep(message, key, now: start)
                order.removeAll { $0 == text }
                order.append(text)
                order = Array(order.suffix(8))
            } else {
                let found = cache.find(key, now: start) != nil
                #expect(found == order.contains(text), "seed \(seed), step \(step)")
                if found {
                    order.removeAll { $0 == text }
                    order.append(text)
                }
            }
            #expect(cache.count == order.count && cache.bytes <= limits.bytes)
        }
        var large = try answer("large.example")
        large.1.answers = (0..<100).map { .address(large.0.question.name, .v4(IPv4Address(bits: $0)), timeToLive: 60) }
        cache.keep(large.1, large.0, now: start)
        #expect(cache.count == 8 && cache.find(large.0, now: start) == nil)
    }

    @Test("the addresses of a name are those at the end of its aliases, with the shortest time")
    func aliases() throws {
        let question = DNSQuestion(try name("www.example"), .a)
        var message = DNSMessage(id: 1, question: question).response()
        message.answers = [
            .address(try name("c.example"), try address("10.0.0.3"), timeToLive: 90),
            DNSRecord(try name("www.example"), .cname, timeToLive: 70, .name(try name("B.example"))),
            DNSRecord(try name("b.example"), .cname, timeToLive: 30, .name(try name("c.example"))),
            .address(try name("other.example"), try address("10.0.0.9"), timeToLive: 1),
        ]
        #expect(message.addressesOfQuestion.addresses == [try address("10.0.0.3")])
        #expect(message.addressesOfQuestion.timeToLive == 30)
        // A circle ends.
        message.answers = [
            DNSRecord(try name("www.example"), .cname, timeToLive: 70, .name(try name("b.example"))),
            DNSRecord(try name("b.example"), .cname, timeToLive: 30, .name(try name("www.example"))),
        ]
        #expect(message.addressesOfQuestion.addresses.isEmpty)
    }

    @Test(
        "an asker's rate is its own, comes back with time, and places for others' answers are bounded for each and all")
    func budgets() {
        var limits = ClientBudgets.Limits()
        limits.questionsPerSecond = 10
        limits.outstanding = 2
        limits.outstandingTogether = 3
        var budgets = ClientBudgets(limits)
        let (one, two) = (Asker.stranger(.init(high: 1, low: 1)), Asker.stranger(.init(high: 1, low: 2)))
        func admitted(_ asker: Asker, _ count: Int, after delay: Duration = .zero) -> Int {
            (0..<count).map { _ in budgets.admit(asker, now: start + delay) }.filter(\.self).count
        }
        #expect(admitted(one, 20) == 10)
        #expect(admitted(two, 1) == 1)
        #expect(admitted(one, 20, after: .milliseconds(500)) == 5)
        #expect(admitted(.host, 1000) == 1000)
        let places = [one, one, one, two, two].map { budgets.begin($0, now: start) }
        #expect(places == [true, true, false, true, false])
        budgets.end(one)
        let again = budgets.begin(two, now: start)
        #expect(again)
    }
}
