internal import CoveyModel
internal import CoveyStore
internal import Testing

@testable internal import CoveyEtcdStore

@Suite("Parts of the etcd store")
struct EtcdPartsTests {
    @Test("addresses are read as they are written")
    func addresses() throws {
        let plain = try EtcdAddress("etcd://10.0.0.1:2379")
        #expect(plain.endpoints == [EtcdEndpoint(host: "10.0.0.1", port: 2379)])
        #expect(plain.prefix == "covey" && plain.tls == nil)
        let full = try EtcdAddress("etcd://a.example:1,[::1]:2/one/two/?ca=/a.pem&cert=/c.pem&key=/k.pem")
        #expect(full.endpoints.map(\.description) == ["a.example:1", "[::1]:2"])
        #expect(full.prefix == "one/two")
        #expect(full.tls == EtcdTLS(authorities: "/a.pem", certificate: "/c.pem", key: "/k.pem"))
        #expect("\(full)" == "etcd://a.example:1,[::1]:2/one/two")
        #expect(try EtcdAddress("etcd://a:1?tls=yes").tls == EtcdTLS())
    }

    @Test(
        "an address that cannot be meant is refused with the form",
        arguments: [
            "etcd://", "etcd:///x", "etcd://a", "etcd://a:0", "etcd://a:70000", "etcd://a:1,", "etcd://a:1,a:1",
            "etcd://u@a:1", "http://a:1", "etcd://[x]:1", "etcd://a:1//x", "etcd://a:1/x y", "etcd://a:1?ca=a.pem",
            "etcd://a:1?cert=/a", "etcd://a:1?tls=no", "etcd://a:1?what=/a", "etcd://a:1?ca", "etcd://a:1?ca=/a&ca=/b",
        ])
    func badAddresses(text: String) {
        let error = #expect(throws: CoveyError.self) { try EtcdAddress(text) }
        #expect(error?.code == .invalid && error?.remedy?.contains("etcd://HOST:PORT") == true)
    }

    @Test("the member that answers is asked again, one that fails is left alone, and all failing ones are waited for")
    func book() {
        var book = EndpointBook(count: 3)
        #expect(book.choose(now: .zero) == (0, .zero))
        book.failed(0, now: .zero)
        #expect(book.choose(now: .zero) == (1, .zero))
        book.worked(1)
        #expect(book.choose(now: .seconds(100)) == (1, .zero))
        for index in [1, 2] { book.failed(index, now: .seconds(100)) }
        #expect(book.choose(now: .seconds(100)) == (0, .zero))
        book.failed(0, now: .seconds(100))
        #expect(book.choose(now: .seconds(100)) == (1, .milliseconds(200)))
        #expect(book.isFailing(0))
        book.worked(0)
        #expect(!book.isFailing(0))
        for round in 0..<50 { book.failed(2, now: .seconds(200 + round * 9)) }
        #expect(book.choose(now: .seconds(200 + 50 * 9)).wait == .zero)

        // Many calls that fail at once are one failure; who answers that it cannot now is asked again soon.
        var single = EndpointBook(count: 1)
        for _ in 0..<50 { single.failed(0, now: .zero) }
        #expect(single.choose(now: .zero).wait == .milliseconds(200))
        for round in 1...10 { single.failed(0, now: .seconds(round), answered: true) }
        #expect(single.choose(now: .seconds(10)).wait == .milliseconds(400))
        for round in 11...20 { single.failed(0, now: .seconds(round * 10)) }
        #expect(single.choose(now: .seconds(200)).wait == .seconds(8))
    }

    @Test("a lost answer is unknown for a write only, what never left is sent elsewhere, and all else has one meaning")
    func verdicts() {
        func name(_ status: EtcdStatus, _ kind: EtcdFailure.Kind, sent: Bool = true) -> String {
            switch EtcdFailure(place: "there", status: status, text: "text", sent: sent).verdict(kind) {
            case .elsewhere(let error): "elsewhere \(error.code)"
            case .final(let error): "final \(error.code)"
            case .outOfRange(let error): "range \(error.code)"
            case .noSpace(let error): "space \(error.code)"
            }
        }
        for status in EtcdStatus.allCases {
            #expect(name(status, .write, sent: false) == "elsewhere unavailable")
            #expect(name(status, .repeatable, sent: false) == "elsewhere unavailable")
        }
        let lost: [EtcdStatus] = [.cancelled, .unknown, .deadlineExceeded, .aborted, .internalError, .unavailable]
        for status in lost {
            #expect(name(status, .write) == "final outcomeUnknown")
            #expect(name(status, .repeatable) == "elsewhere unavailable")
        }
        let others: [(EtcdStatus, String)] = [
            (.invalidArgument, "final invalid"), (.notFound, "final notFound"), (.permissionDenied, "final denied"),
            (.unauthenticated, "final unauthenticated"), (.resourceExhausted, "space exhausted"),
            (.failedPrecondition, "elsewhere unavailable"), (.outOfRange, "range invalid"),
            (.unimplemented, "final unsupported"), (.dataLoss, "final corrupt"),
        ]
        for (status, meaning) in others { #expect(name(status, .write) == meaning) }
    }

    @Test("revisions are whole, in order, and given once, however responses are cut and repeated")
    func assembly() throws {
        func events(_ revisions: Int64...) -> [Mvccpb_Event] {
            revisions.enumerated().map { index, revision in
                var event = Mvccpb_Event()
                event.kv.key = EtcdKeys("covey").key("t/\(index)")
                event.kv.modRevision = revision
                return event
            }
        }
        var assembly = WatchAssembly(from: Revision(5), keys: EtcdKeys("covey"))
        func take(_ events: [Mvccpb_Event], fragment: Bool = false) throws -> [String] {
            try assembly.take(events, isFragment: fragment).map { "\($0.revision):\($0.events.count)" }
        }
        #expect(try take(events(3, 4)).isEmpty)
        #expect(try take(events(5, 5, 7)) == ["5:2", "7:1"])
        #expect(try take(events(5, 7)).isEmpty)
        #expect(try take(events(8, 9, 9), fragment: true) == ["8:1"])
        #expect(assembly.next == Revision(9))
        #expect(try take(events(9, 9), fragment: true).isEmpty)
        #expect(try take(events(9, 10)) == ["9:5", "10:1"])
        // A stream that broke within a revision gives all of it again.
        #expect(try take(events(11, 11), fragment: true).isEmpty)
        assembly.advance(to: Revision(20))
        assembly.begin()
        #expect(assembly.next == Revision(11))
        #expect(try take(events(11, 11, 11)) == ["11:3"])
        assembly.advance(to: Revision(30))
        assembly.advance(to: Revision(12))
        #expect(assembly.next == Revision(31))
        #expect(throws: CoveyError.self) { try take(events(40, 39)) }
    }
}
