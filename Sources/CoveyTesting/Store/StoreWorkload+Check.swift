internal import CoveyModel
internal import CoveyStore

extension StoreWorkload {
    /// Compares what clients, watch and store say.
    func check(_ store: any Store, _ record: WorkloadRecord) async throws -> WorkloadReport {
        let last = try await settle(store, record)
        let seen = record.now
        try expect(seen.disorder == nil, seen.disorder ?? "")
        var report = WorkloadReport()
        for (register, history) in seen.calls.sorted(by: { $0.key < $1.key }) {
            report.calls += history.count
            if let call = linearizabilityViolation(in: history) {
                throw ExpectationFailure(description: "register \(register) is not linearizable at \(call)")
            }
        }
        try checkEvents(seen)
        report.writes = seen.written.count
        report.lost = seen.lost
        report.refused = seen.unanswered
        report.batches = seen.batches.count
        report.lists = seen.gaps.count
        report.revision = last
        return report
    }

    /// Every acknowledged write is in the watch at its revision, none came twice, and none that was refused came.
    private func checkEvents(_ seen: WorkloadRecord.State) throws {
        var revisions: [String: Revision] = [:]
        for batch in seen.batches {
            for case .put(let entry) in batch.events {
                let value = String(decoding: entry.value, as: UTF8.self)
                try expectEqual(entry.modRevision, batch.revision, "an event's own revision")
                if let before = revisions[value] {
                    throw ExpectationFailure(
                        description: "value \(value) was written at \(before) and again at \(batch.revision)")
                }
                revisions[value] = batch.revision
                try expect(!seen.refused.contains(value), "value \(value) was written though that was denied")
            }
        }
        for (value, revision) in seen.written {
            if seen.gaps.contains(where: { $0.contains(revision.number) }) { continue }
            try expectEqual(revisions[value], revision, "the watch's revision of acknowledged value \(value)")
        }
    }

    /// Waits until the watch has come to the end, and is what the store has. Returns the last revision.
    private func settle(_ store: any Store, _ record: WorkloadRecord) async throws -> Revision {
        let marker = StoreKey("\(prefix.text)end")
        var mark: Revision?
        while mark == nil {
            let put = Transaction(success: [.put(marker, Array("end-\(record.tick())".utf8))])
            mark = try await record.attempt { try await store.transact(put) }.value?.revision
            if mark == nil { try await Task.sleep(for: .milliseconds(100)) }
        }
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            // A lost write may still come in: the two are compared until they agree.
            let (entries, revision) = try await record.persist { try await store.list(prefix) }
            let wanted = Dictionary(uniqueKeysWithValues: entries.map { ($0.key, $0) })
            let seen = record.now
            if seen.newest >= mark ?? .zero && seen.replay == wanted { return revision }
            guard start.duration(to: clock.now) < patience else {
                try expectEqual(seen.replay, wanted, "the watch, replayed up to \(seen.newest), is the store")
                throw ExpectationFailure(
                    description: "the watch stands at \(seen.newest) and never came to \(mark ?? .zero)")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
