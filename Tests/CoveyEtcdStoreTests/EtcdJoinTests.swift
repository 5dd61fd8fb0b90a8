internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Testing

@Suite("Members of etcd join", .serialized, .timeLimit(.minutes(5)))
struct EtcdJoinTests {
    private typealias Member = EtcdAdministration.Member

    private func record(_ phase: MemberRecord.Phase, id: UInt64? = nil) -> MemberRecord {
        var record = MemberRecord(
            name: "us", clientPort: 2379, peerPort: 2380, token: "t", cluster: "", joins: true, host: "10.0.0.3")
        record.phase = phase
        record.id = id
        return record
    }

    // MARK: Rules

    @Test("a member is added once: one whose add was answered by nobody is itself, and an earlier one goes first")
    func steps() {
        let voter = Member(id: 1, name: "a", peers: ["https://10.0.0.1:2380"], isLearner: false)
        let here = "https://10.0.0.3:2380"
        let added = Member(id: 3, name: "", peers: [here], isLearner: true)
        let earlier = Member(id: 4, name: "old", peers: [here], isLearner: false)
        let other = Member(id: 5, name: "", peers: ["https://10.0.0.5:2380"], isLearner: true)
        #expect(MemberJoin.next(record(.joining), [voter]) == .add)
        #expect(MemberJoin.next(record(.adding), [voter]) == .add)
        #expect(MemberJoin.next(record(.adding), [voter, added]) == .adopt(3))
        #expect(MemberJoin.next(record(.joining), [voter, added]) == .remove(3))
        #expect(MemberJoin.next(record(.joining), [voter, earlier]) == .remove(4))
        #expect(MemberJoin.next(record(.adding), [voter, earlier]) == .remove(4))
        #expect(MemberJoin.next(record(.joining), [voter, other]) == .wait(5))
        #expect(MemberJoin.next(record(.learner, id: 3), [voter, added]) == .run)
        #expect(MemberJoin.next(record(.learner, id: 4), [voter, earlier]) == .vote)
        #expect(MemberJoin.next(record(.learner, id: 3), [voter]) == .gone)
        #expect(
            MemberJoin.cluster([voter, added, other], joining: 3, as: "us")
                == "a=https://10.0.0.1:2380,us=\(here),member-5=https://10.0.0.5:2380")
    }

    @Test("a member may go only where the others have a quorum among themselves")
    func quorum() {
        let members = (1...3).map { Member(id: UInt64($0), name: "m", peers: [], isLearner: false) }
        #expect(MemberJoin.canLose(1, of: members, serving: [2, 3]))
        #expect(!MemberJoin.canLose(1, of: members, serving: [1, 2]))
        #expect(!MemberJoin.canLose(1, of: Array(members.prefix(1)), serving: [1]))
        #expect(MemberJoin.canLose(1, of: Array(members.prefix(2)), serving: [2]))
    }

    @Test("a learner is stuck when it has applied nothing more for a while, whether it answers or not")
    func progress() {
        var progress = LearnerProgress(limit: .seconds(300))
        #expect(progress.look([1: nil, 2: 5], at: .seconds(0)) == [])
        #expect(progress.look([1: nil, 2: 6], at: .seconds(299)) == [])
        #expect(progress.look([1: nil, 2: nil], at: .seconds(301)) == [1])
        #expect(progress.look([2: 7], at: .seconds(602)) == [])
        #expect(progress.look([1: nil, 2: 7], at: .seconds(903)) == [2])
    }

    @Test("space is given back by one member at a time, by the leader last, and by none while one catches up")
    func turns() {
        func member(_ id: UInt64, leads: Bool = false, sparse: Bool = true) -> Defragmentation.Member {
            Defragmentation.Member(
                id: id, size: .mebibytes(100), used: sparse ? .mebibytes(10) : .mebibytes(90), isLeader: leads,
                isLearner: false, applied: 100_000)
        }
        let all = [member(1, leads: true), member(2), member(3)]
        #expect(Defragmentation.turn(all, of: 3, isFull: false) == 2)
        #expect(Defragmentation.turn([all[0], member(2, sparse: false), all[2]], of: 3, isFull: false) == 3)
        #expect(
            Defragmentation.turn([all[0], member(2, sparse: false), member(3, sparse: false)], of: 3, isFull: false)
                == 1)
        #expect(Defragmentation.turn(Array(all.prefix(2)), of: 3, isFull: false) == nil)
        var late = all
        late[2].applied = 90_000
        #expect(Defragmentation.turn(late, of: 3, isFull: true) == nil)
        late[2].applied = 100_000
        late[2].isLearner = true
        #expect(Defragmentation.turn(late, of: 3, isFull: true) == nil)
    }

    // MARK: Real members

    @Test("three hosts become one etcd; a daemon that dies at any step of its join goes on there, and is added once")
    func three() async throws {
        try await withHosts(3) { hosts in
            let (first, second, third) = (hosts[0], hosts[1], hosts[2])
            try await first.start()
            try await first.store.keep("t/a")
            let points = ["intended", "added", "stored", "started", "caught-up", "promoted"].map { "join.\($0)" }
            var ids: Set<UInt64> = []
            for point in points {
                try await second.start(joining: [first], dyingAt: point)
                #expect(try await second.death() == point)
                let there = try await first.members().filter {
                    $0.peers.contains("https://127.0.0.3:\(second.port + 1)")
                }
                #expect(there.count == (point == points[0] ? 0 : 1), "\(point)")
                ids.formUnion(there.map(\.id))
                #expect(there.allSatisfy { $0.isLearner == (point != points[5]) }, "\(point)")
                // Nobody waits for it.
                try await first.store.keep("t/\(point)")
            }
            #expect(ids.count == 1 && second.supervisor.starts == 1)
            // The next one waits while this one is not done, and comes by itself.
            try await second.start(joining: [first])
            try await third.start(joining: [first])
            try await second.votes()
            try await third.votes()
            #expect(try await first.members().count { !$0.isLearner } == 3)
            for path in ["ca.key", "member.key", "client.key"] {
                #expect(try FileFacts("\(third.authority)/\(path)").mode == 0o600)
            }
            // One goes while calls go on, on all hosts.
            try await eventually { try await first.members().allSatisfy { !$0.clients.isEmpty } }
            try await eventually { try first.folder.load()?.others?.count == 2 }
            await first.stop()
            try await first.start()
            try await first.crash()
            for (index, host) in hosts.enumerated() { try await host.store.keep("t/after-\(index)") }
            try await eventually { first.supervisor.starts == 3 || first.supervisor.starts == 2 }
            #expect(try await third.store.get("t/join.added") != nil)
            try await eventually { first.troubles["member"] == nil }
        }
    }

    @Test("a join waits for another one, and one that gets nothing is removed; the quorum is never touched")
    func stuck() async throws {
        try await withHosts(3) { hosts in
            let (first, second, third) = (hosts[0], hosts[1], hosts[2])
            try await first.start()
            var times = EtcdMember.Times.short
            times.stall = .seconds(4)
            let deaf = "\(hosts[0].place)/deaf"
            try writeFileAtomically(deaf, Array("#!/bin/sh\nexec sleep 600\n".utf8), mode: 0o755)
            let open = try await tool("chmod", ["755", hosts[0].place])
            #expect(open.isEmpty)
            try await second.start(joining: [first], program: deaf, times: times)
            try await eventually { try second.phase == .learner }
            try await third.start(joining: [first])
            try await eventually { third.troubles["join"]?.message.contains("another member") == true }
            for index in 0..<20 { try await first.store.keep("t/\(index)") }
            try await eventually { second.troubles["join"]?.code == .deadline }
            #expect(second.troubles["join"]?.remedy?.contains("start the daemon anew") == true)
            #expect(try second.phase == .joining && second.supervisor.pid == nil)
            try await third.votes()
            #expect(try await first.members().count == 2)
            // It is tried again by a daemon that is started anew, now with a member that works.
            await second.stop()
            try await second.start(joining: [first])
            try await second.votes()
            #expect(try await first.members().count { !$0.isLearner } == 3)
        }
    }

    @Test("a learner whose host is gone is removed by the others, so that the next one can join")
    func abandoned() async throws {
        try await withHosts(3) { hosts in
            var times = EtcdMember.Times.short
            times.stall = .seconds(3)
            try await hosts[0].start(times: times)
            try await hosts[1].start(joining: [hosts[0]], dyingAt: "join.stored")
            #expect(try await hosts[1].death() == "join.stored")
            try await hosts[2].start(joining: [hosts[0]])
            try await hosts[2].votes()
            #expect(try await hosts[0].members().count == 2)
            // Its host comes back, is told, and joins as another one.
            try await hosts[1].start(joining: [hosts[0]])
            try await eventually { hosts[1].troubles["join"]?.message.contains("removed before it voted") == true }
            await hosts[1].stop()
            try await hosts[1].start(joining: [hosts[0]])
            try await hosts[1].votes()
        }
    }

    @Test("the authority is taken from where its key is nobody else's, and a join without one is refused")
    func authority() async throws {
        try await withHosts(2) { hosts in
            try await hosts[0].start()
            let copy = "\(hosts[1].place)/authority"
            try makeFolder(copy)
            let lacking = await #expect(throws: CoveyError.self) {
                try await hosts[1].start(joining: [hosts[0]], authority: copy)
            }
            #expect(lacking?.code == .notFound, "\(lacking as Any)")
            for (name, mode) in [("ca.pem", 0o644), ("ca.key", 0o640)] {
                try writeFileAtomically(
                    "\(copy)/\(name)", try readFile("\(hosts[0].authority)/\(name)"), mode: UInt32(mode))
            }
            let open = await #expect(throws: CoveyError.self) {
                try await hosts[1].start(joining: [hosts[0]], authority: copy)
            }
            #expect(open?.code == .denied && open?.remedy == "chmod 600 \(copy)/ca.key", "\(open as Any)")
        }
    }
}
