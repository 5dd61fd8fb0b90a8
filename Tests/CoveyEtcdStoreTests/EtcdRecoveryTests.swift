internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Testing

@Suite("Members of etcd are recovered", .serialized, .timeLimit(.minutes(5)))
struct EtcdRecoveryTests {
    /// What the program for a daemon that does not run does, and dies at some steps.
    private func recover(
        _ host: MemberHost, from snapshot: String?, replaces: Bool = true, dyingAt points: [String] = []
    ) async throws {
        for point in points {
            let death = await #expect(throws: DaemonDied.self) {
                _ = try await host.member(dyingAt: point).recover(from: snapshot, replaces: replaces)
            }
            #expect(death?.point == point)
            // A daemon does not begin in the midst of it.
            let refused = await #expect(throws: CoveyError.self) { _ = try await host.member().start() }
            #expect(refused?.code == .conflict && refused?.message.contains("not finished") == true)
        }
        let member = try host.member()
        _ = try await member.recover(from: snapshot, replaces: replaces)
        try await member.finishRecovery()
    }

    private func three(_ hosts: [MemberHost]) async throws {
        try await hosts[0].start()
        for host in hosts.dropFirst() {
            try await host.start(joining: [hosts[0]])
            try await host.votes()
        }
        try await hosts[0].store.keep("t/a")
        for host in hosts { try await eventually { try host.folder.load()?.others?.count == hosts.count - 1 } }
    }

    @Test("the last survivor goes on alone, once the others are gone, and they are of before when they come back")
    func survivor() async throws {
        try await withHosts(3) { hosts in
            try await three(hosts)
            let last = hosts[2]
            await last.stop()
            let early = await #expect(throws: CoveyError.self) {
                _ = try await last.member().recover(from: nil, replaces: false)
            }
            #expect(early?.code == .conflict && early?.message.contains("answers") == true, "\(early as Any)")
            for host in hosts.dropLast() { try await host.lose() }
            let before = try #require(try last.folder.load())
            try await recover(last, from: nil, dyingAt: ["recovery.intended", "recovery.done"])
            let after = try #require(try last.folder.load())
            #expect(after.id == before.id && !after.hasOthers && !fileExists("\(last.folder.path)/recovery.json"))
            try await last.start()
            #expect(try await last.store.get("t/a") != nil)
            try await last.store.keep("t/b")
            #expect(try await last.members().count == 1)
            // They are a majority of what was, and do not become one again.
            for host in hosts.dropLast() {
                try await host.start()
                #expect(try host.phase == .removed && host.troubles["member"]?.code == .conflict)
                await host.stop()
                #expect(try await host.member().leave().contains { $0.contains("data.aside-1") })
                try await host.start()
                try await host.votes()
            }
            #expect(try await hosts[0].store.get("t/b") != nil)
            #expect(try await last.members().count { !$0.isLearner } == 3)
        }
    }

    @Test("a snapshot begins an etcd anew; one that was cut or changed is refused, and what was there is kept")
    func snapshot() async throws {
        try await withHosts(2) { hosts in
            try await three(hosts)
            let first = hosts[0]
            try await eventually {
                try fileExists(first.folder.snapshots)
                    && listFolder(first.folder.snapshots).contains { $0.hasSuffix(".db") }
            }
            let taken = "\(first.place)/taken.db"
            let own = try EtcdAdministration(first.endpoint, tls: first.folder.tls)
            try await own.snapshot(to: taken)
            own.close()
            try await first.store.keep("t/later")
            for host in hosts { try await host.lose() }
            let bytes = try readFile(taken)
            var changed = bytes
            changed[bytes.count / 2] ^= 4
            for bad in [changed, Array(bytes.dropLast(512)), Array(bytes.dropLast(bytes.count / 2))] {
                try writeFileAtomically("\(taken).bad", bad)
                #expect(try EtcdMember.isSnapshot("\(taken).bad"))
                let refused = await #expect(throws: CoveyError.self) {
                    _ = try await first.member().recover(from: "\(taken).bad", replaces: true)
                }
                #expect(refused?.code == .corrupt && !fileExists("\(first.folder.path)/recovery.json"))
            }
            let kept = await #expect(throws: CoveyError.self) {
                _ = try await first.member().recover(from: taken, replaces: false)
            }
            #expect(kept?.code == .conflict && kept?.remedy?.contains("--replace") == true)
            try await recover(first, from: taken, dyingAt: ["recovery.intended", "recovery.done"])
            #expect(fileExists("\(first.folder.path)/data.aside-1/member/wal"))
            try await first.start()
            #expect(try await first.store.get("t/a") != nil)
            #expect(try await first.store.get("t/later") == nil)
            try await hosts[1].start()
            #expect(try hosts[1].phase == .removed)
            #expect(hosts[1].troubles["member"]?.message.contains("was restored") == true, "\(hosts[1].troubles)")
            await hosts[1].stop()
            _ = try await hosts[1].member().leave()
            try await hosts[1].start()
            try await hosts[1].votes()
        }
    }
}
