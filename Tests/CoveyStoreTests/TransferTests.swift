internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Testing

@Suite("Backups and fillings", .timeLimit(.minutes(1)))
struct TransferTests {
    private func backup(_ store: any Store) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await StoreSnapshot(of: store, node: "n", instance: "01234567").encoded { bytes += $0 }
        return bytes
    }

    private func restore(_ bytes: [UInt8], into store: any Store, cut: Int = 1000) async throws {
        var decoder = BackupDecoder()
        let filling = StoreFilling(store)
        try await filling.begin("a test")
        var rest = bytes[...]
        while !rest.isEmpty {
            try await filling.write(try decoder.take(Array(rest.prefix(cut))))
            rest = rest.dropFirst(cut)
        }
        try decoder.finish()
        guard let header = decoder.header else { throw CoveyError(.failure, "there is no header") }
        try await filling.publish("new", of: header)
    }

    @Test(
        "what was backed up at one revision is restored with a new lineage, however the file is cut",
        arguments: [1, 7, 4096])
    func whole(cut: Int) async throws {
        let fixture = try await Fixture()
        for name in ["a", "b", "c"] { _ = try await fixture.create(name) }
        let lease = try await fixture.store.grantLease(seconds: 60)
        _ = try await fixture.store.transact(Transaction(success: [.put("election/x", [1], lease: lease.id)]))
        let bytes = try await backup(fixture.store)
        let target = MemoryStore(incarnation: "target")
        try await restore(bytes, into: target, cut: cut)
        let restored = try await Fixture(store: target)
        let names = try await restored.machines.list(.standard).items.map(\.metadata.name).sorted()
        #expect(names == ["a", "b", "c"])
        #expect(try await target.incarnation() == "new")
        #expect(try await target.lineage().ancestors == ["memory"])
        #expect(try await target.get("election/x") == nil)
        #expect(try await target.keys("vm/") == fixture.store.keys("vm/"))
    }

    @Test("a backup is of one moment, whatever is written while it is taken")
    func consistent() async throws {
        let store = MemoryStore()
        for index in 0..<700 { try await store.put("t/\(index)", "old") }
        let snapshot = try await StoreSnapshot(of: store)
        var seen = 0
        try await snapshot.pages { entries in
            seen += entries.count
            for entry in entries { #expect(entry.value == Array("old".utf8)) }
            for index in 0..<700 { try await store.put("t/\(index)", "new") }
            _ = try await store.transact(Transaction(success: [.delete("t/699")]))
        }
        #expect(seen == 700)
    }

    @Test("history that goes away under a backup ends it with a retry, and no half of it passes for one")
    func compacted() async throws {
        let store = MemoryStore()
        for index in 0..<700 { try await store.put("t/\(index)", "1") }
        let error = await #expect(throws: CoveyError.self) {
            let snapshot = try await StoreSnapshot(of: store)
            try await snapshot.pages { _ in
                try await store.put("t/0", "2")
                try await store.compact(try await store.currentRevision())
            }
        }
        #expect(error?.code == .unavailable && error?.retryable == true)
    }

    @Test("each byte that is another, and each byte that is missing, is noticed")
    func damage() async throws {
        let store = MemoryStore()
        try await store.put("t/a", "value")
        let whole = try await backup(store)
        func code(_ bytes: [UInt8]) -> ErrorCode? {
            var summary = BackupSummary()
            do throws(CoveyError) {
                try summary.take(bytes)
                try summary.finish()
                return nil
            } catch { return error.code }
        }
        #expect(code(whole) == nil)
        for index in whole.indices {
            var bytes = whole
            bytes[index] ^= 0x20
            #expect(code(bytes) != nil, "byte \(index)")
            #expect(code(Array(whole.prefix(index))) == .corrupt, "\(index) bytes")
        }
        #expect(code(whole + [0]) == .corrupt)
        #expect(code(Array("something else\n".utf8)) == .corrupt)
    }

    @Test("a backup of a newer program is refused by its layout, and by its records")
    func newer() throws {
        var header = BackupHeader(
            version: 2, format: 1, program: "9.9", incarnation: "i", ancestors: [], revision: 1)
        for change in [(2, 1), (1, 99)] {
            (header.version, header.format) = change
            var encoder = BackupEncoder()
            let bytes = try encoder.header(header) + encoder.finish()
            var decoder = BackupDecoder()
            let error = #expect(throws: CoveyError.self) { try decoder.take(bytes) }
            #expect(error?.code == .unsupported && error?.remedy != nil)
        }
    }

    @Test("the bytes of a backup are the ones of its first release")
    func golden() throws {
        var encoder = BackupEncoder()
        let header = BackupHeader(
            version: 1, format: 1, program: "0.1", incarnation: "i", ancestors: ["h"], revision: 7)
        var bytes = try encoder.header(header)
        bytes += encoder.entry("t/a", [1, 2])
        bytes += encoder.finish()
        let digits = Array("0123456789abcdef".utf8)
        let hex = String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
        #expect(hex == TransferTests.goldenFile)
    }

    @Test("a store that is half filled, or was moved away, is opened by nobody; both can be filled")
    func marks() async throws {
        let store = MemoryStore()
        try await store.put("t/a", "1")
        let filling = StoreFilling(store)
        #expect(try await !filling.isFree())
        try await filling.leave(for: "etcd://there/covey")
        let moved = await #expect(throws: CoveyError.self) { try await Fixture(store: store) }
        #expect(moved?.code == .conflict && moved?.message.contains("etcd://there/covey") == true)
        #expect(try await filling.isFree())
        try await filling.begin("a restore")
        #expect(try await store.get("t/a") == nil)
        let half = await #expect(throws: CoveyError.self) { try await Fixture(store: store) }
        #expect(half?.code == .conflict && half?.remedy != nil)
        #expect(try await filling.isFree())
        let origin = BackupHeader(
            version: 1, format: 1, program: "0.1", incarnation: "i", ancestors: ["h"], revision: 7)
        try await filling.publish("n", of: origin, replacing: "other")
        _ = try await Fixture(store: store)
        #expect(try await store.lineage().ancestors == ["h", "i", "other"])
    }

    private static let goldenFile =
        "636f766579206261636b75700a000000597b22616e636573746f7273223a5b2268225d2c22666f726d6174223a312c22"
        + "696e6361726e6174696f6e223a2269222c2270726f6772616d223a22302e31222c227265766973696f6e223a372c2276"
        + "657273696f6e223a317d0000000300000002742f610102ffffffff00000000000000010cd5a69f3bc3f01bb66bfd937f"
        + "2a9db9d1e0925349609846c16ac22dfd692cbc"
}
