internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Glibc
internal import Testing

@Suite("What goes wrong with a member of etcd is told as what it is", .serialized, .timeLimit(.minutes(10)))
struct EtcdConditionTests {
    private static let isSoak = getenv("COVEY_SOAK") != nil

    /// Makes three members of one etcd.
    private func join(_ hosts: [MemberHost], times: EtcdMember.Times = .short) async throws {
        try await hosts[0].start(times: times)
        for host in hosts.dropFirst() {
            try await host.start(joining: [hosts[0]], times: times)
            try await host.votes()
        }
        for host in hosts { try await eventually { try host.folder.load()?.others?.count == hosts.count - 1 } }
    }

    /// Lends a file system of a host's own, and takes it away in any case.
    private func withMount<T>(
        _ host: MemberHost, _ script: String, _ body: () async throws -> T
    ) async throws -> T {
        try makeFolder(host.place)
        _ = try await tool("sh", ["-ec", "cd \(parentFolder(host.place)); \(script)"])
        let outcome: Result<T, any Error>
        do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
        try await host.lose()
        _ = try await tool("umount", [host.place])
        return try outcome.get()
    }

    private func fill(_ path: String) async throws {
        _ = try await tool("sh", ["-c", "dd if=/dev/zero of=\(path) bs=64k 2>/dev/null; true"])
    }

    @Test("a full disk is said to be one, the others go on, and the member comes back by itself when there is space")
    func fullDisk() async throws {
        try await withHosts(3) { hosts in
            let small = hosts[2]
            try await withMount(small, "mount -t tmpfs -o size=400m covey-test \(small.place)") {
                try await join(hosts)
                // What etcd has set aside for its log ahead of time lasts for a while.
                try await fill("\(small.place)/filler")
                let value = [UInt8](repeating: 3, count: 200_000)
                try await eventually(within: .seconds(120)) {
                    for index in 0..<10 {
                        _ = try await hosts[0].store.transact(Transaction(success: [.put("t/\(index)", value)]))
                    }
                    return small.troubles["member"]?.code == .exhausted
                }
                let starts = small.supervisor.starts
                for index in 0..<10 { try await hosts[1].store.keep("t/on-\(index)") }
                #expect(small.supervisor.starts <= starts + 1)
                try removeFile("\(small.place)/filler")
                try await eventually { small.troubles["member"] == nil }
                #expect(try small.phase == .voting)
            }
        }
    }

    @Test("a disk that fails to sync ends its member for good, is said to fail, and the others go on")
    func failingDisk() async throws {
        try await withHosts(3) { hosts in
            let bad = hosts[2]
            let image = "truncate -s 600m image; mkfs.ext4 -q image; mount -o loop image \(bad.place)"
            try await withMount(bad, image) {
                try await join(hosts)
                // From now on each write and each fsync of the file system fails with EIO (EXT4_IOC_SHUTDOWN).
                let shutdown =
                    "import fcntl,os,struct; "
                    + "fcntl.ioctl(os.open('\(bad.place)', os.O_RDONLY), 0x8004587D, struct.pack('I', 2))"
                _ = try await tool("python3", ["-c", shutdown])
                try await hosts[0].store.keep("t/a")
                try await eventually { bad.troubles["member"]?.message.contains("its disk fails") == true }
                let starts = bad.supervisor.starts
                for index in 0..<20 { try await hosts[1].store.keep("t/on-\(index)") }
                #expect(bad.supervisor.starts == starts && bad.troubles["member"]?.remedy?.contains("disk") == true)
            }
        }
    }

    @Test("a member alone without space is compacted, gives back what it can, and takes writes again by itself")
    func noSpace() async throws {
        try await withHosts(1) { hosts in
            var times = EtcdMember.Times.short
            times.quota = .mebibytes(16)
            try await hosts[0].start(times: times)
            let value = [UInt8](repeating: 1, count: 500_000)
            var isFull = false
            for _ in 0..<200 where !isFull {
                do { _ = try await hosts[0].store.transact(Transaction(success: [.put("t/a", value)])) } catch let error
                    as CoveyError where error.code == .exhausted || error.code == .outcomeUnknown
                { isFull = true }
            }
            #expect(isFull)
            try await hosts[0].store.keep("t/b")
        }
    }

    @Test("three members without space give it back one at a time, the leader last")
    func noSpaceOfThree() async throws {
        try await withHosts(3) { hosts in
            var times = EtcdMember.Times.short
            times.quota = .mebibytes(16)
            try await join(hosts, times: times)
            let endpoints = try hosts.map { try EtcdAdministration($0.endpoint, tls: $0.folder.tls) }
            defer { for endpoint in endpoints { endpoint.close() } }
            let value = [UInt8](repeating: 1, count: 500_000)
            var isFull = false
            for _ in 0..<200 where !isFull {
                do { _ = try await hosts[0].store.transact(Transaction(success: [.put("t/a", value)])) } catch let error
                    as CoveyError where error.code == .exhausted || error.code == .outcomeUnknown
                { isFull = true }
            }
            #expect(isFull)
            var leader = 0
            var order: [Int] = []
            try await eventually(within: .seconds(120)) {
                for (index, endpoint) in endpoints.enumerated() {
                    let status = try await endpoint.status()
                    if status.isLeader && order.isEmpty { leader = index }
                    if status.size < .mebibytes(8) && !order.contains(index) { order.append(index) }
                }
                return order.count == 3
            }
            #expect(order.last == leader, "\(order), led by \(leader)")
            try await hosts[0].store.keep("t/b")
        }
    }

    @Test("a member whose data is damaged is replaced by the others, whatever was damaged")
    func damage() async throws {
        try await withHosts(3) { hosts in
            try await join(hosts)
            for index in 0..<300 { try await hosts[0].store.keep("t/\(index)") }
            let bad = hosts[2]
            for damage in Self.isSoak ? ["wal", "db", "short db"] : ["wal"] {
                try await bad.lose()
                try await self.damage(bad, damage)
                let old = try #require(try bad.folder.load()?.id)
                try await bad.start()
                try await eventually(within: .seconds(90)) {
                    try bad.phase == .voting && bad.folder.load()?.id != old && bad.troubles["member"] == nil
                }
                #expect(bad.troubles["replaced"]?.code == .corrupt, "\(damage)")
                #expect(try await hosts[0].members().count { !$0.isLearner } == 3)
                try await hosts[0].store.keep("t/after")
                #expect(try listFolder(bad.folder.path).contains { $0.hasPrefix("data.aside-") })
            }
        }
    }

    @Test("a member alone whose log is damaged is left, and says how it is recovered")
    func damageAlone() async throws {
        try await withHosts(1) { hosts in
            try await hosts[0].start()
            for index in 0..<50 { try await hosts[0].store.keep("t/\(index)") }
            await hosts[0].stop()
            try await hosts[0].supervisor.forget("etcd")
            try await self.damage(hosts[0], "wal")
            let member = try hosts[0].member()
            let address = try await member.start()
            let error = await #expect(throws: CoveyError.self) {
                try await member.support { try await EtcdStore.reached(address).close() }
            }
            #expect(error?.code == .corrupt && error?.remedy?.contains("covey system restore --replace") == true)
        }
    }

    private func damage(_ host: MemberHost, _ what: String) async throws {
        let data = "\(host.folder.path)/data/member"
        switch what {
        case "wal":
            // A few bits in the midst of what was written.
            let script =
                "f=$(ls \(data)/wal/*.wal | tail -1); for at in 600 2000 4000; do "
                + "printf '\\377\\377\\377\\377' | dd of=$f bs=1 seek=$at conv=notrunc 2>/dev/null; done"
            _ = try await tool("sh", ["-ec", script])
        case "db":
            let script = "dd if=/dev/urandom of=\(data)/snap/db bs=4096 seek=0 count=6 conv=notrunc 2>/dev/null"
            _ = try await tool("sh", ["-ec", script])
        case _: _ = try await tool("truncate", ["-s", "6000", "\(data)/snap/db"])
        }
    }
}
