internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyTesting
internal import FoundationEssentials
internal import Testing

@Suite("Certificates of etcd", .serialized, .timeLimit(.minutes(5)))
struct EtcdCertificateTests {
    /// Makes the certificates of a cluster's folder before anybody reads them.
    private static func prepare(_ folder: String, _ authority: TestAuthority) throws {
        try writeFileAtomically("\(folder)/ca.pem", Array(authority.pem.utf8))
        for name in ["member", "client"] { try authority.issue(name, in: folder) }
    }

    @Test("a certificate that is replaced by rename before it ends is used by all connections made after that")
    func renewal() async throws {
        let authority = try TestAuthority("one")
        try await withEtcd(secured: true, prepare: { try Self.prepare($0, authority) }) { cluster in
            try await cluster.open().close()
            let end = try authority.issue("client", in: cluster.folder, lasting: .seconds(5))
            let store = try await EtcdStore.open(cluster.address(), times: .short)
            let work = Task { try await store.run() }
            defer { work.cancel() }
            let answers = try await store.watch("t/", from: nil).makeAsyncIterator()
            var revisions = [try await store.settledPut("t/a", "1")]
            try authority.issue("client", in: cluster.folder)
            try await eventually { Date() > end }
            // What was connected before is cut, so that the first certificate would have to show up again.
            try await cluster.members[0].kill()
            try cluster.members[0].start()
            for value in 2...3 { revisions.append(try await store.settledPut("t/a", "\(value)")) }
            var seen: [Revision?] = []
            for _ in revisions { seen.append(try await answers.next()?.revision) }
            #expect(seen == revisions)
            await store.close()
        }
    }

    @Test("a certificate that has ended is told with its file and date, and its renewal is noticed without a restart")
    func ended() async throws {
        let authority = try TestAuthority("one")
        try await withEtcd(secured: true, prepare: { try Self.prepare($0, authority) }) { cluster in
            var times = EtcdTimes.short
            times.call = .seconds(2)
            let store = try await cluster.open(times: times)
            _ = try await store.settledPut("t/a", "1")
            let end = try authority.issue("client", in: cluster.folder, lasting: .seconds(-60))
            let date = Timestamp(milliseconds: Int64(end.timeIntervalSince1970) * 1000).description
            func names(_ error: CoveyError?) -> Bool {
                guard let error else { return false }
                return error.message.contains("\(cluster.folder)/client.pem ended at \(date.dropLast(5))")
                    && error.remedy?.contains("by rename") == true
            }
            try await cluster.members[0].kill()
            try cluster.members[0].start()
            try await eventually {
                do { _ = try await store.get("t/a") } catch let error as CoveyError { return names(error) }
                return false
            }
            let opened = await #expect(throws: CoveyError.self) {
                try await EtcdStore.open(cluster.address(), times: times)
            }
            #expect(opened?.code == .unavailable && names(opened), "\(String(describing: opened))")
            await store.health.look()
            #expect(names(store.health.trouble?.error), "\(String(describing: store.health.trouble))")
            // A file that is no certificate changes nothing, and is told.
            try writeFileAtomically("\(cluster.folder)/client.pem", Array("nothing".utf8))
            try await eventually {
                do { _ = try await store.get("t/a") } catch let error as CoveyError {
                    return error.remedy?.contains("are PEM, and belong together") == true
                }
                return false
            }
            try authority.issue("client", in: cluster.folder)
            try await eventually { try await store.get("t/a")?.value == Array("1".utf8) }
            await store.close()
        }
    }

    @Test("an authority that has ended is told with its file and date")
    func endedAuthority() async throws {
        let authority = try TestAuthority("one")
        try await withEtcd(secured: true, prepare: { try Self.prepare($0, authority) }) { cluster in
            try await cluster.open().close()
            let file = "\(cluster.folder)/old.pem"
            try writeFileAtomically(file, Array(try TestAuthority("old", lasting: .seconds(-60)).pem.utf8))
            var address = cluster.address()
            address.tls?.authorities = file
            var times = EtcdTimes.short
            times.call = .seconds(2)
            let error = await #expect(throws: CoveyError.self) { try await EtcdStore.open(address, times: times) }
            #expect(error?.message.contains("no authority in \(file) counts: the last ended at 2") == true)
        }
    }

    @Test("authorities change under a store that runs, by a bundle of both: no call is lost, no event missed")
    func rotation() async throws {
        let (old, new) = (try TestAuthority("old"), try TestAuthority("new"))
        try await withEtcd(3, secured: true, prepare: { try Self.prepare($0, old) }) { cluster in
            var stores: [EtcdStore] = []
            for first in 0..<3 { stores.append(try await cluster.open(times: .short, first: first)) }
            let clients = stores
            let work = Task {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for store in clients { group.addTask { try await store.run() } }
                    try await group.waitForAll()
                }
            }
            defer { work.cancel() }
            let workload = StoreWorkload()
            let seed = workload.seed
            let report = try await workload.run(on: clients) {
                let folder = cluster.folder
                // Members read the file at their start alone, so each is started again, one after the other.
                try writeFileAtomically("\(folder)/ca.pem", Array((old.pem + new.pem).utf8))
                try await restartAll(cluster, clients[0])
                for name in ["member", "client"] { try new.issue(name, in: folder) }
                try writeFileAtomically("\(folder)/ca.pem", Array(new.pem.utf8))
                try await restartAll(cluster, clients[0])
            }
            print("authorities changed, seed \(seed): \(report)")
            for store in stores { await store.close() }
            // Who still trusts the old one alone knows nobody any more.
            try writeFileAtomically("\(cluster.folder)/old.pem", Array(old.pem.utf8))
            var address = cluster.address()
            address.tls?.authorities = "\(cluster.folder)/old.pem"
            var times = EtcdTimes.short
            times.call = .seconds(2)
            await #expect(throws: CoveyError.self) { try await EtcdStore.open(address, times: times) }
        }
    }

    private func restartAll(_ cluster: EtcdCluster, _ store: EtcdStore) async throws {
        for member in cluster.members {
            try await member.kill()
            try member.start()
            try await eventually {
                await store.health.look()
                return store.health.trouble == nil
            }
        }
    }
}
