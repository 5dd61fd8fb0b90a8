internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Testing

@Suite("Members of etcd leave", .serialized, .timeLimit(.minutes(5)))
struct EtcdLeaveTests {
    @Test("a member leaves where the others have a quorum without it, keeps its data aside, and comes back as another")
    func leaving() async throws {
        try await withHosts(3) { hosts in
            try await hosts[0].start()
            for host in hosts.dropFirst() {
                try await host.start(joining: [hosts[0]])
                try await host.votes()
            }
            try await hosts[0].store.keep("t/a")
            // Two of three are gone: the last one must not go.
            try await eventually { try hosts[2].folder.load()?.others?.count == 2 }
            await hosts[2].stop()
            try await hosts[0].lose()
            let refused = await #expect(throws: CoveyError.self) { _ = try await hosts[2].member().leave() }
            #expect(refused?.code == .conflict && refused?.message.contains("no quorum") == true, "\(refused as Any)")
            try await hosts[0].start()
            try await hosts[0].store.keep("t/b")
            let done = try await hosts[2].member().leave()
            #expect(done.count == 2 && done[0].contains("removed") && done[1].contains("data.aside-1"), "\(done)")
            #expect(try await hosts[0].members().count == 2 && hosts[2].supervisor.pid == nil)
            // What was done already is not done again.
            #expect(try await hosts[2].member().leave().isEmpty)
            #expect(fileExists("\(hosts[2].folder.path)/data.aside-1/member"))
            try await hosts[2].start(joining: [hosts[0]])
            try await hosts[2].votes()
            #expect(try await hosts[2].store.get("t/b") != nil)
            // All go, one after the other; the last one ends, and keeps what it has.
            for host in hosts { await host.stop() }
            for host in hosts.dropFirst() { #expect(try await host.member().leave().count == 2) }
            #expect(try await hosts[0].member().leave().isEmpty && hosts[0].supervisor.pid == nil)
            try await hosts[0].start()
            #expect(try await hosts[0].store.get("t/b") != nil)
        }
    }

    @Test("a member that was removed is known, never started again, and keeps its old data until it joins anew")
    func removed() async throws {
        try await withHosts(2) { hosts in
            let (first, second) = (hosts[0], hosts[1])
            try await first.start()
            try await second.start(joining: [first])
            try await second.votes()
            let administration = try EtcdAdministration(first.endpoint, tls: first.folder.tls)
            // While it runs: it ends by itself, and well.
            let id = try #require(try second.folder.load()?.id)
            try await eventually {
                try await administration.remove(id)
                return true
            }
            try await eventually { try second.phase == .removed }
            #expect(second.troubles["member"]?.message.contains("was removed") == true)
            #expect(second.troubles["member"]?.remedy?.contains("system uninstall") == true)
            await second.stop()
            let starts = second.supervisor.starts
            try await second.start()
            #expect(second.supervisor.starts == starts && second.troubles["member"]?.code == .conflict)
            // Its daemon works on the other member.
            try await second.store.keep("t/a")
            await second.stop()
            _ = try await second.member().leave()
            try await second.start(joining: [first])
            try await second.votes()
            administration.close()
        }
    }

    @Test("a member that was removed while it was down comes with old data: it is not let in, and the data is kept")
    func removedMeanwhile() async throws {
        try await withHosts(3) { hosts in
            try await hosts[0].start()
            for host in hosts.dropFirst() {
                try await host.start(joining: [hosts[0]])
                try await host.votes()
            }
            let late = hosts[2]
            let id = try #require(try late.folder.load()?.id)
            try await late.lose()
            let administration = try EtcdAdministration(hosts[0].endpoint, tls: hosts[0].folder.tls)
            defer { administration.close() }
            try await eventually {
                try await administration.remove(id)
                return true
            }
            // Where the others can be asked, it is not even started.
            let starts = late.supervisor.starts
            try await late.start()
            #expect(try late.phase == .removed && late.supervisor.starts == starts)
            #expect(late.troubles["member"]?.code == .conflict)
            await late.stop()
            let done = try await late.member().leave()
            #expect(done.count == 1 && done[0].contains("data.aside-1"), "\(done)")
            #expect(fileExists("\(late.folder.path)/data.aside-1/member/wal"))
            try await late.start(joining: [hosts[0]])
            try await late.votes()
        }
    }

    @Test("a voter that is gone for good is replaced at its address: it goes before the new one comes")
    func replaced() async throws {
        try await withHosts(3) { hosts in
            try await hosts[0].start()
            for host in hosts.dropFirst() {
                try await host.start(joining: [hosts[0]])
                try await host.votes()
            }
            let old = try #require(try hosts[2].folder.load()?.id)
            try await hosts[2].lose()
            try removeTree(hosts[2].folder.path)
            try await hosts[2].start(joining: [hosts[0]], dyingAt: "join.intended")
            #expect(try await hosts[2].death() == "join.intended")
            #expect(try await !hosts[0].members().contains { $0.id == old })
            try await hosts[0].store.keep("t/a")
            try await hosts[2].start(joining: [hosts[0]])
            try await hosts[2].votes()
            #expect(try await hosts[0].members().count { !$0.isLearner } == 3)
            // Nobody takes the place of one that runs.
            try await hosts[1].store.keep("t/b")
        }
    }
}
