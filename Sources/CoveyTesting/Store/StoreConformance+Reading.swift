internal import CoveyModel
internal import CoveyStore

extension StoreConformance {
    static let reading: [Check] = [
        Check("keys are told apart and ordered by their bytes") { store in
            let keys: [StoreKey] = [
                "t/", "t/\0", "t/A", "t/a", "t/a\0", "t/a/b", "t/aa", "t/e\u{301}", "t/z", "t/\u{E9}", "t/\u{10FFFF}",
            ]
            for key in keys.reversed() { try await store.put(key, "x") }
            try await store.put("s", "before")
            try await store.put("t0", "after")
            try expectEqual(try await store.list("t/", pageSize: 2).entries.map(\.key), keys)
            try expectEqual(try await store.list("t/a").entries.map(\.key), ["t/a", "t/a\0", "t/a/b", "t/aa"])
            let all = try await store.list("", pageSize: 3).entries.map(\.key)
            try expect(all.contains("s") && all.contains("t0") && all == all.sorted(), "the empty prefix is all")
        },
        Check("pages of one revision do not see what is written meanwhile") { store in
            for index in 0..<10 { try await store.put("t/\(index)", "old") }
            let first = try await store.range("t/", from: nil, limit: 4, at: nil)
            try expectEqual(first.entries.count, 4)
            try await store.delete("t/4")
            try await store.put("t/5", "new")
            try await store.put("t/55", "new")
            try await store.delete("t/9")
            try await store.put("t/9", "new")
            var keys = first.entries.map(\.key)
            var next = first.next
            while let from = next {
                let page = try await store.range("t/", from: from, limit: 4, at: first.revision)
                try expectEqual(page.revision, first.revision)
                try expect(page.entries.allSatisfy { $0.value == Array("old".utf8) }, "only what was there")
                keys += page.entries.map(\.key)
                next = page.next
            }
            try expectEqual(keys, (0..<10).map { "t/\($0)" })
            try expectEqual(try await store.list("t/").entries.count, 10)
        },
        Check("a page that holds all has no next one, also when it is just full") { store in
            for index in 0..<4 { try await store.put("t/\(index)", "") }
            try expect(try await store.range("t/", from: nil, limit: 4, at: nil).next == nil, "four of four")
            try expect(try await store.range("t/", from: nil, limit: nil, at: nil).next == nil, "without a limit")
            try expect(try await store.range("t/", from: nil, limit: 3, at: nil).next != nil, "three of four")
            try expectEqual(try await store.range("t/", from: "t/2", limit: 9, at: nil).entries.count, 2)
            try await store.expectCode(.invalid, "a page of nothing") {
                _ = try await store.range("t/", from: nil, limit: 0, at: nil)
            }
        },
        Check("a revision that is not there yet is refused, and one that is gone says so") { store in
            let first = try await store.put("t/a", "1")
            let second = try await store.put("t/a", "2")
            let third = try await store.put("t/b", "3")
            try await store.expectCode(.invalid, "a future revision") {
                _ = try await store.range("t/", from: nil, limit: nil, at: third.next)
            }
            try await store.expectCode(.invalid, "compacting the future") { try await store.compact(third.next) }
            try await store.compact(second)
            try await store.compact(first)
            do {
                _ = try await store.range("t/", from: nil, limit: nil, at: first)
                throw ExpectationFailure(description: "a compacted revision was read")
            } catch let error as CompactedError {
                try expectEqual(error.revision, second)
            }
            let kept = try await store.range("t/", from: nil, limit: nil, at: second)
            try expectEqual(kept.entries.map { String(decoding: $0.value, as: UTF8.self) }, ["2"])
            try expectEqual(try await store.text("t/b"), "3")
        },
        Check("compaction keeps what is there, with its revisions, and the counting goes on") { store in
            for round in 0..<5 {
                for index in 0..<20 { try await store.put("t/\(index)", "\(round)") }
            }
            for index in 0..<10 { try await store.delete("t/\(index)") }
            let before = try await store.list("t/")
            try await store.compact(before.revision)
            let after = try await store.list("t/")
            try expectEqual(after.entries, before.entries)
            try expectEqual(after.revision, before.revision)
            try expectEqual(try await store.put("t/x", ""), before.revision.next)
        },
    ]
}
