internal import CoveyModel
internal import CoveyStore

extension StoreConformance {
    static let transactions: [Check] = [
        Check("a key counts its versions and remembers its creation until it is deleted") { store in
            try expect(try await store.get("t/a") == nil, "an empty store has no key")
            let first = try await store.put("t/a", "1")
            let second = try await store.put("t/a", "2")
            try expectEqual(second, first.next)
            let entry = try unwrapped(try await store.get("t/a"), "the entry")
            let wanted = StoreEntry(
                key: "t/a", value: Array("2".utf8), createRevision: first, modRevision: second, version: 2)
            try expectEqual(entry, wanted)
            try await store.delete("t/a")
            try expect(try await store.get("t/a") == nil, "a deleted key is gone")
            let again = try await store.put("t/a", "3")
            let anew = try unwrapped(try await store.get("t/a"), "the entry")
            try expectEqual(anew.createRevision, again)
            try expectEqual(anew.version, 1)
        },
        Check("each compare holds exactly where it should") { store in
            let made = try await store.put("t/a", "1")
            let changed = try await store.put("t/a", "2")
            let cases: [(Compare, Bool)] = [
                (.exists("t/a"), true), (.exists("t/b"), false), (.absent("t/a"), false), (.absent("t/b"), true),
                (.createRevision("t/a", made), true), (.createRevision("t/a", changed), false),
                (.createRevision("t/b", .zero), true), (.createRevision("t/b", made), false),
                (.modRevision("t/a", changed), true), (.modRevision("t/a", made), false),
                (.modRevision("t/b", .zero), true), (.value("t/a", Array("2".utf8)), true),
                (.value("t/a", Array("1".utf8)), false), (.value("t/b", []), false), (.prefixEmpty("t/"), false),
                (.prefixEmpty("t/a"), false), (.prefixEmpty("t/ab"), true), (.prefixEmpty("u"), true),
            ]
            for (compare, holds) in cases {
                let result = try await store.transact(Transaction(compares: [compare], success: [.get("t/a")]))
                try expectEqual(result.succeeded, holds, "\(compare)")
            }
        },
        Check("the failure branch is taken as soon as one compare fails, and only that one") { store in
            try await store.put("t/a", "1")
            let result = try await store.transact(
                Transaction(
                    compares: [.exists("t/a"), .exists("t/b")], success: [.put("t/c", [1])],
                    failure: [.put("t/d", [2]), .get("t/a")]))
            try expect(!result.succeeded, "the second compare fails")
            try expectEqual(result.results.count, 2)
            try expect(try await store.get("t/c") == nil, "nothing of the success branch happened")
            try expect(try await store.get("t/d") != nil, "the failure branch happened")
        },
        Check("a transaction that changes nothing makes no revision, writing the same value makes one") { store in
            let before = try await store.put("t/a", "1")
            let nothing = try await store.transact(
                Transaction(compares: [.absent("t/a")], success: [.put("t/a", [])], failure: [.delete("t/none")]))
            try expectEqual(nothing.results, [.deleted(false)])
            try expectEqual(nothing.revision, before)
            try expectEqual(try await store.transact(Transaction(success: [])).revision, before)
            try expectEqual(try await store.currentRevision(), before)
            try expectEqual(try await store.put("t/a", "1"), before.next)
        },
        Check("a read in a transaction sees the steps before it") { store in
            try await store.put("t/a", "1")
            let result = try await store.transact(
                Transaction(success: [
                    .get("t/a"), .put("t/a", Array("2".utf8)), .get("t/a"), .delete("t/b"), .put("t/c", []),
                    .get("t/c"),
                ]))
            guard case .got(let before?) = result.results[0], case .got(let after?) = result.results[2],
                case .got(let new?) = result.results[5]
            else { throw ExpectationFailure(description: "reads are missing: \(result.results)") }
            try expectEqual(before.value, Array("1".utf8))
            try expectEqual(after.value, Array("2".utf8))
            try expectEqual(after.modRevision, result.revision)
            try expectEqual(new.value, [])
        },
        Check("all writes of a transaction have one revision, and a refused one leaves nothing") { store in
            let result = try await store.transact(Transaction(success: [.put("t/a", [1]), .put("t/b", [2])]))
            let (entries, revision) = try await store.list("t/")
            try expectEqual(entries.map(\.modRevision), [result.revision, result.revision])
            try expectEqual(revision, result.revision)
            try await store.expectCode(.notFound, "a put with a lease that is not there") {
                _ = try await store.transact(
                    Transaction(success: [.put("t/c", []), .put("t/d", [], lease: LeaseID(4711))]))
            }
            try expectEqual(try await store.list("t/").entries.count, 2)
            try expectEqual(try await store.currentRevision(), result.revision)
        },
        Check("what etcd refuses is refused, and its limits themselves are not") { store in
            func puts(_ count: Int, _ value: [UInt8] = []) -> [StoreOperation] {
                (0..<count).map { .put("t/\($0)", value) }
            }
            let many = (0..<129).map { Compare.absent("t/\($0)") }
            let refused: [(String, Transaction)] = [
                ("129 operations", Transaction(success: puts(129))),
                ("129 operations in the failure branch", Transaction(success: [], failure: puts(129))),
                ("129 compares", Transaction(compares: many, success: [])),
                ("a key put twice", Transaction(success: [.put("t/a", []), .put("t/a", [])])),
                ("a key put and deleted", Transaction(success: [.put("t/a", []), .delete("t/a")])),
                (
                    "a key twice in the branch that is not taken",
                    Transaction(
                        success: [], failure: [.delete("t/a"), .delete("t/a")])
                ),
                ("an empty key", Transaction(success: [.put("", [])])),
                ("an empty key to compare", Transaction(compares: [.absent("")], success: [])),
                ("more than 1 MiB", Transaction(success: puts(2, Array(repeating: 7, count: 1 << 19)))),
            ]
            let before = try await store.currentRevision()
            for (claim, transaction) in refused {
                try await store.expectCode(.invalid, claim) { _ = try await store.transact(transaction) }
            }
            try expectEqual(try await store.currentRevision(), before)
            let most = Transaction(compares: Array(many.prefix(128)), success: puts(128))
            try expect(try await store.transact(most).succeeded, "128 compares and operations")
            let value = [UInt8](repeating: 9, count: (1 << 20) - 3)
            try expect(try await store.transact(Transaction(success: [.put("t/x", value)])).succeeded, "1 MiB")
            try expectEqual(try await store.get("t/x")?.value.count, value.count)
        },
        Check("a store has an incarnation, and it changes only when it is renewed") { store in
            let before = try await store.incarnation()
            try expect(!before.isEmpty, "it is not empty")
            try await store.put("t/a", "1")
            try expectEqual(try await store.incarnation(), before)
            try await store.renewIncarnation("another")
            try expectEqual(try await store.incarnation(), "another")
        },
    ]
}
