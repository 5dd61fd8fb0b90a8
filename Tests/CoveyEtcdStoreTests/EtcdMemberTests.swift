internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Testing

@Suite("Members of etcd", .serialized, .timeLimit(.minutes(5)))
struct EtcdMemberTests {
    private let place = "/x/etcd"

    private func facts(
        _ end: MemberLife.End, after lifetime: Duration = .seconds(1), served: Bool = true, isFollower: Bool = false,
        disk: MemberDisk = .sound
    ) -> MemberLife.Facts {
        MemberLife.Facts(end, after: lifetime, served: served, isFollower: isFollower, disk: disk)
    }

    @Test("one whose disk fails is left at once; one that never serves is replaced by the others, or told as damaged")
    func doubt() {
        var life = MemberLife()
        guard case .stay(let error) = life.ended(facts(.exited(1), disk: .failing("EIO")), place: place) else {
            return #expect(Bool(false), "it was started again")
        }
        #expect(error.message.contains("its disk fails (EIO)"))
        var follower = MemberLife()
        let ends = (0..<3).map { _ in
            follower.ended(facts(.signalled(6), served: false, isFollower: true), place: place)
        }
        #expect(ends == [.restart(after: .seconds(1)), .restart(after: .seconds(2)), .replace])
        var alone = MemberLife()
        for _ in 0..<5 { _ = alone.ended(facts(.exited(1), served: false), place: place) }
        guard case .stay(let damage) = alone.ended(facts(.exited(1), served: false), place: place) else {
            return #expect(Bool(false), "it was started again")
        }
        #expect(damage.code == .corrupt && damage.remedy?.contains("system restore") == true)
    }

    @Test("a member that ends soon after its start, again and again, is started ever later, and left in the end")
    func patience() {
        var life = MemberLife()
        var pauses: [Duration] = []
        for _ in 1..<MemberLife.patience {
            let next = life.ended(facts(.exited(1)), place: place)
            if case .restart(let pause) = next { pauses.append(pause) }
        }
        #expect(pauses == [1, 2, 4, 8, 16].map { .seconds($0) })
        let last = life.ended(facts(.signalled(6)), place: place)
        guard case .stay(let error) = last else { return #expect(Bool(false), "\(last)") }
        #expect(error.remedy != nil && error.message.contains("6 times"))
    }

    @Test("one that ran well for a while begins anew, and one whose disk is full is never given up")
    func forgiveness() {
        var life = MemberLife()
        for _ in 0..<20 {
            let next = life.ended(facts(.signalled(9), after: .seconds(100), isFollower: true), place: place)
            #expect(next == .restart(after: .seconds(1)))
        }
        for _ in 0..<20 {
            let next = life.ended(
                facts(.exited(1), served: false, isFollower: true, disk: .full), place: place)
            guard case .restart(let pause) = next else { return #expect(Bool(false), "\(next)") }
            #expect(pause >= .seconds(30))
        }
        #expect(MemberLife.trouble(facts(.exited(1), disk: .full), place: place).code == .exhausted)
        #expect(MemberLife.trouble(facts(.exited(1)), place: place).code == .unavailable)
    }

    @Test("one that was removed by the others is known by its end, and never started again")
    func removed() {
        var life = MemberLife()
        let next = life.ended(facts(.exited(0), isFollower: true), place: place)
        guard case .removed(let error) = next else { return #expect(Bool(false), "\(next)") }
        #expect(error.code == .conflict && error.message.contains("removed"))
        // A member alone has nobody who could remove it.
        let alone = life.ended(facts(.exited(0)), place: place)
        #expect(alone == .restart(after: .seconds(1)))
    }

    @Test("a snapshot taken while keys are written fits its sum, and each byte that is another is noticed")
    func snapshots() async throws {
        try await withEtcd { cluster in
            let store = try await cluster.open()
            let administration = try EtcdAdministration(cluster.members[0].endpoint, tls: nil)
            let writing = Task {
                for index in 0... {
                    try Task.checkCancellation()
                    let value = [UInt8](repeating: 7, count: 1000)
                    _ = try await store.transact(Transaction(success: [.put("t/\(index % 500)", value)]))
                }
            }
            try await eventually { try await store.get("t/499") != nil }
            let path = "\(cluster.folder)/snapshot.db"
            try await administration.snapshot(to: path)
            writing.cancel()
            #expect(try EtcdAdministration.verify(path))
            #expect(try FileFacts(path).mode == 0o600 && !fileExists("\(path).partial"))
            let bytes = try readFile(path)
            for index in [0, bytes.count / 2, bytes.count - 1] {
                var other = bytes
                other[index] ^= 1
                try writeFileAtomically("\(path).bad", other)
                #expect(try !EtcdAdministration.verify("\(path).bad"))
            }
            try writeFileAtomically("\(path).bad", Array(bytes.dropLast(512)))
            #expect(try !EtcdAdministration.verify("\(path).bad"))
            administration.close()
            await store.close()
        }
    }

    @Test("a learner is added, promoted when it has caught up, and removed, and the store serves throughout")
    func learner() async throws {
        try await withEtcd { cluster in
            let store = try await cluster.open()
            for index in 0..<50 { _ = try await store.transact(Transaction(success: [.put("t/\(index)", [1])])) }
            let administration = try EtcdAdministration(cluster.members[0].endpoint, tls: nil)
            let ports = try freePorts(2)
            let added = try await administration.addLearner(peer: "http://127.0.0.1:\(ports[1])")
            #expect(added.members.count == 2 && added.members.filter(\.isLearner).map(\.id) == [added.id])
            // It is not there yet, and nobody waits for it.
            _ = try await store.transact(Transaction(success: [.put("t/a", [1])]))
            let early = await #expect(throws: CoveyError.self) { try await administration.promote(added.id) }
            #expect(early?.retryable == true, "\(String(describing: early))")
            let first = added.members.first { !$0.isLearner }?.peers.first ?? ""
            let joiner = EtcdProcess(
                "m1", folder: cluster.folder, ports: (ports[0], ports[1]),
                cluster: "m0=\(first),m1=http://127.0.0.1:\(ports[1])", tls: nil, arguments: [], joins: true)
            try joiner.start()
            do {
                try await eventually {
                    try await administration.promote(added.id)
                    return true
                }
                #expect(try await administration.members().allSatisfy { !$0.isLearner })
                let second = try EtcdAdministration(joiner.endpoint, tls: nil)
                try await eventually { try await second.status().hasLeader }
                second.close()
                _ = try await store.transact(Transaction(success: [.put("t/b", [1])]))
                // The one that goes ends by itself, and well: that is how it is known.
                try await eventually {
                    try await administration.remove(added.id)
                    return true
                }
                try await eventually { try joiner.ending() == .exited(0) }
                try await eventually { try await store.get("t/b") != nil }
                try await administration.remove(added.id)
            } catch {
                try await joiner.kill()
                throw error
            }
            try await joiner.kill()
            administration.close()
            await store.close()
        }
    }

    @Test("unused space is given back, and the alarm for space taken back")
    func space() async throws {
        try await withEtcd(arguments: ["--quota-backend-bytes", "16777216"]) { cluster in
            let store = try await cluster.open()
            let administration = try EtcdAdministration(cluster.members[0].endpoint, tls: nil)
            let value = [UInt8](repeating: 1, count: 500_000)
            try await eventually {
                if try await administration.hasNoSpace() { return true }
                _ = try await store.transact(Transaction(success: [.put("t/a", value)]))
                return false
            }
            let full = try await administration.status().size
            try await store.compact(try await store.currentRevision())
            try await administration.defragment()
            try await administration.disarm()
            #expect(try await administration.status().size < full)
            try await eventually {
                _ = try await store.transact(Transaction(success: [.put("t/b", [1])]))
                return true
            }
            administration.close()
            await store.close()
        }
    }
}
