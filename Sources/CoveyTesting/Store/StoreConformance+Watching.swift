internal import CoveyModel
internal import CoveyStore

extension StoreConformance {
    static let watching: [Check] = [
        Check("a watch from a revision gives every change under its prefix once and in order") { store in
            let first = try await store.put("t/a", "1")
            try await store.put("u/a", "other")
            let both = try await store.transact(
                Transaction(success: [.put("t/b", [2]), .put("u/b", []), .delete("t/a"), .delete("t/none")]))
            var answers = try await store.watch("t/", from: first).makeAsyncIterator()
            let one = try unwrapped(try await answers.next(), "the first batch")
            try expectEqual(one, .changes(WatchBatch(revision: first, events: [try await put(store, "t/a", first)])))
            let two = try unwrapped(try await answers.next(), "the second batch")
            let written = try await put(store, "t/b", both.revision)
            try expectEqual(two, .changes(WatchBatch(revision: both.revision, events: [written, .delete("t/a")])))
            let last = try await store.put("t/c", "3")
            let three = try unwrapped(try await answers.next(), "the third batch")
            try expectEqual(three, .changes(WatchBatch(revision: last, events: [try await put(store, "t/c", last)])))
        },
        Check("a watch from now on wakes up for the next change, and only for its prefix") { store in
            try await store.put("t/a", "old")
            let stream = try await store.watch("t/", from: nil)
            try await store.put("u/a", "other")
            async let answer = stream.makeAsyncIterator().next()
            let revision = try await store.put("t/a", "new")
            guard case .changes(let batch)? = try await answer else {
                throw ExpectationFailure(description: "no changes came")
            }
            try expectEqual(batch.revision, revision)
            try expectEqual(batch.events.count, 1)
        },
        Check("a watch from a revision to come waits for it") { store in
            let now = try await store.put("t/a", "1")
            let answers = try await store.watch("t/", from: Revision(now.number + 3)).makeAsyncIterator()
            for value in 2...5 { try await store.put("t/a", "\(value)") }
            guard case .changes(let batch)? = try await answers.next() else {
                throw ExpectationFailure(description: "no changes came")
            }
            try expectEqual(batch.revision.number, now.number + 3)
        },
        Check("cancelling the reader ends a watch that waits") { store in
            let stream = try await store.watch("t/", from: nil)
            let reader = Task { try await stream.makeAsyncIterator().next() }
            reader.cancel()
            do {
                _ = try await reader.value
                throw ExpectationFailure(description: "a cancelled watch answered")
            } catch is CancellationError {}
        },
        Check("a watch that begins in the compacted past says so and ends") { store in
            let first = try await store.put("t/a", "1")
            for value in 2...5 { try await store.put("t/a", "\(value)") }
            let revision = try await store.currentRevision()
            try await store.compact(revision)
            let answers = try await store.watch("t/", from: first).makeAsyncIterator()
            try expectEqual(try await answers.next(), .compacted(revision))
            try expect(try await answers.next() == nil, "it ends then")
            let fresh = try await store.watch("t/", from: revision.next).makeAsyncIterator()
            let next = try await store.put("t/a", "6")
            guard case .changes(let batch)? = try await fresh.next() else {
                throw ExpectationFailure(description: "no changes came")
            }
            try expectEqual(batch.revision, next)
        },
        Check("a watch that waits is not harmed by a compaction, though nothing came for its prefix") { store in
            try await store.put("t/a", "1")
            let stream = try await store.watch("t/", from: nil)
            async let answer = stream.makeAsyncIterator().next()
            for round in 0..<20 {
                try await store.compact(try await store.put("u/a", "\(round)"))
                await Task.yield()
            }
            // The reader may have begun late, and then met a compaction; that is an answer too.
            let revision = try await store.put("t/a", "2")
            switch try await answer {
            case .changes(let batch)?: try expectEqual(batch.revision, revision)
            case .compacted(let compacted)?: try expect(compacted < revision, "a compaction in the past")
            case nil: throw ExpectationFailure(description: "the watch ended without a word")
            }
        },
        Check("a slow reader misses nothing, or is told that it did") { store in
            let count = 6000
            let first = try await store.currentRevision().next
            let slow = try await store.watch("t/", from: first).makeAsyncIterator()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<20 {
                    group.addTask {
                        for index in 0..<(count / 20) { try await store.put("t/\(writer)/\(index)", "x") }
                    }
                }
                try await group.waitForAll()
            }
            for offset in 0..<count {
                guard case .changes(let batch)? = try await slow.next() else {
                    throw ExpectationFailure(description: "no changes came")
                }
                try expectEqual(batch.revision.number, first.number + Int64(offset))
            }
            let later = try await store.watch("t/", from: first).makeAsyncIterator()
            _ = try await later.next()
            try await store.compact(try await store.currentRevision())
            // What was sent already may still come; then it is told, or had all.
            var seen = Int64(first.number)
            let last = first.number + Int64(count) - 1
            reading: while seen < last {
                switch try await later.next() {
                case .changes(let batch)?:
                    try expectEqual(batch.revision.number, seen + 1)
                    seen = batch.revision.number
                case .compacted?: break reading
                case nil: throw ExpectationFailure(description: "the watch ended without a word")
                }
            }
        },
    ]

    private static func put(_ store: any Store, _ key: StoreKey, _ revision: Revision) async throws -> StoreEvent {
        let page = try await store.range(key, from: key, limit: 1, at: revision)
        return .put(try unwrapped(page.entries.first, "\(key) at \(revision)"))
    }
}
