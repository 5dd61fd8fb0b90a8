import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing

@testable import CoveyDisks

@Suite("Tools, turns and small parts")
struct SmallPartsTests {
    @Test("a missing tool is unavailable, and the remedy names its package")
    func missingTool() async {
        let error = await failure {
            try await Tool(name: "no-such-tool", package: "nothing").run([], limit: .seconds(5))
        }
        #expect(error?.code == .unavailable)
        #expect(error?.remedy?.contains("apt-get install nothing") == true)
    }

    @Test("a failing tool ends with its exit code and last lines")
    func failingTool() async {
        let tool = Tool(name: "sh", package: "dash")
        let error = await failure {
            try await tool.run(["-c", "for i in $(seq 50); do echo line $i >&2; done; exit 3"], limit: .seconds(30))
        }
        #expect(error?.code == .failure)
        #expect(error?.message.contains("exit code 3") == true)
        #expect(error?.causes.joined().contains("line 50") == true)
        #expect(error?.causes.joined().contains("line 30") == false)
    }

    @Test("a tool that hangs is killed at its deadline with its children, even where they ignore TERM")
    func hangingTool() async throws {
        try await withScratch { folder in
            let tool = Tool(name: "sh", package: "dash")
            let script =
                "trap '' TERM; (trap '' TERM; echo $$ > child; sleep 1000) & echo $$ > parent; wait; sleep 1000"
            let error = await failure { try await tool.run(["-c", script], in: folder, limit: .milliseconds(500)) }
            #expect(error?.code == .deadline)
            let parent = try #require(Int32(try readText("\(folder)/parent").filter(\.isNumber)))
            #expect(kill(parent, 0) == -1 && errno == ESRCH)
            // A child of init may wait as a zombie until init looks.
            let alive = try listFolder("/proc").filter { Int32($0) != nil }.filter { pid in
                guard let line = try? readText("/proc/\(pid)/stat"), let end = line.lastIndex(of: ")") else {
                    return false
                }
                let fields = line[end...].split(separator: " ")
                return fields.count > 3 && fields[3] == "\(parent)" && fields[1] != "Z"
            }
            #expect(alive == [], "nothing of its process group runs")
        }
    }

    @Test("a tool that prints without end is stopped at the limit")
    func chattyTool() async {
        let tool = Tool(name: "yes", package: "coreutils")
        let error = await failure { try await tool.run([], limit: .seconds(30), outputLimit: 100_000) }
        #expect(error?.code == .failure)
        #expect(error?.message.contains("printed more than") == true)
    }

    @Test("what a tool sees of our environment is the proxies only")
    func environment() async throws {
        setenv("COVEY_TEST_SECRET", "hidden", 1)
        defer { unsetenv("COVEY_TEST_SECRET") }
        let text = try await Tool(name: "env", package: "coreutils").run([], limit: .seconds(10)).text
        #expect(!text.contains("hidden") && text.contains("LC_ALL=C.UTF-8"))
    }

    @Test("work on one key never overlaps, keys do not wait for each other, and a waiter can give up")
    func turns() async throws {
        let turns = Turns<Int>()
        let inside = Counter()
        let (hold, release) = AsyncStream.makeStream(of: Void.self)
        let (entered, enter) = AsyncStream.makeStream(of: Void.self)
        let first = Task {
            try await turns.run(1) {
                enter.finish()
                for await _ in hold {}
            }
        }
        for await _ in entered {}
        #expect(turns.isTaken(1) && !turns.isTaken(2))
        #expect(try await turns.run(2) { 7 } == 7)
        let impatient = Task { try await turns.run(1) { Issue.record("it had given up") } }
        impatient.cancel()
        await #expect(throws: CancellationError.self) { try await impatient.value }
        let others = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await turns.run(1) {
                            #expect(inside.add(1) == 1)
                            await Task.yield()
                            _ = inside.add(-1)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        release.finish()
        try await first.value
        try await others.value
        #expect(!turns.isTaken(1))
    }

    @Test("apt's control record names the kernel package")
    func dependency() {
        let record = """
            Package: linux-image-cloud-amd64
            Depends: firmware | other, linux-image-6.1.0-9-cloud-amd64 (= 6.1.2-1)
            """
        #expect(DebianKernelPackage.dependency(in: record) == "linux-image-6.1.0-9-cloud-amd64")
        #expect(DebianKernelPackage.dependency(in: "Depends: linux-image-$(reboot)") == nil)
        #expect(DebianKernelPackage.dependency(in: "") == nil)
    }

    @Test("the host's own suite comes from the host's repositories, another one from its mirror")
    func mirrors() {
        let text = """
            Debian|main|bookworm|http://mirror.example/debian/
            Debian|main|bookworm-updates|http://mirror.example/debian/
            Debian|main|bookworm-security|http://mirror.example/security/
            Debian|contrib|bookworm|http://mirror.example/debian/
            Other|main|nodistro|https://other.example/
            Debian|main|bookworm|file:/media/cdrom
            """
        let host = DebianMirrors(indexTargets: text)
        #expect(
            host.sources(for: "bookworm") == [
                "deb http://mirror.example/debian/ bookworm main",
                "deb http://mirror.example/debian/ bookworm-updates main",
                "deb http://mirror.example/security/ bookworm-security main",
            ])
        #expect(host.sources(for: "trixie") == ["deb http://mirror.example/debian/ trixie main"])
        #expect(DebianMirrors(indexTargets: "").sources(for: "sid") == [])
        let official = DebianMirrors(indexTargets: "Debian|main|bookworm|http://deb.debian.org/debian/")
        #expect(official.sources(for: "trixie") == [])
    }

    @Test("modules come with what they need first, soft dependencies and aliases included, built-in ones not")
    func moduleOrder() async throws {
        try await withScratch { folder in
            func write(_ name: String, _ text: String) throws {
                try writeFileAtomically("\(folder)/\(name)", Array(text.utf8))
            }
            try write(
                "modules.dep",
                """
                k/virtio_ring.ko.xz:
                k/virtio.ko.xz: k/virtio_ring.ko.xz
                k/virtio_mmio.ko.xz: k/virtio.ko.xz k/virtio_ring.ko.xz
                k/virtio_blk.ko.xz: k/virtio.ko.xz k/virtio_ring.ko.xz
                k/virtio-net.ko.xz:
                k/crc32c_generic.ko.xz:
                k/jbd2.ko.xz:
                k/ext4.ko.xz: k/jbd2.ko.xz
                """)
            try write("modules.builtin", "kernel/drivers/char/virtio-console.ko\n")
            try write("modules.softdep", "softdep ext4 pre: crc32c\nsoftdep jbd2 post: virtio_net\n")
            try write("modules.alias", "alias crc32c crc32c_generic\nalias pci:v* virtio_blk\n")
            #expect(
                try ModuleTree(folder, release: "6").bootOrder().map(ModuleTree.name(of:)) == [
                    "virtio_ring", "virtio", "virtio_mmio", "virtio_blk", "jbd2", "crc32c_generic", "ext4",
                ])
            for path in ["../x.ko", "/etc/x.ko", "k/../../x.ko", "k/x"] {
                try write("modules.dep", "k/virtio_mmio.ko: \(path)\n")
                #expect(throws: CoveyError.self) { try ModuleTree(folder, release: "6") }
            }
        }
    }

    @Test("a cpio archive has the bytes that the kernel's document describes")
    func cpio() {
        var archive = CpioArchive()
        archive.addFolder("d")
        archive.addFile("d/f", mode: 0o600, Array("abcde".utf8))
        archive.addDevice("c", major: 5, minor: 1)
        let text = String(decoding: archive.finish(), as: UTF8.self)
        let zero = "00000000"
        let expected =
            "070701" + "00000001" + "000041ed" + zero + zero + "00000002" + zero + zero + zero + zero + zero + zero
            + "00000002" + zero + "d\0"
            + "070701" + "00000002" + "00008180" + zero + zero + "00000001" + zero + "00000005" + zero + zero + zero
            + zero + "00000004" + zero + "d/f\0" + "\0\0" + "abcde\0\0\0"
            + "070701" + "00000003" + "00002180" + zero + zero + "00000001" + zero + zero + zero + zero + "00000005"
            + "00000001" + "00000002" + zero + "c\0"
        #expect(text.hasPrefix(expected))
        #expect(text.contains("TRAILER!!!") && text.utf8.count % 4 == 0)
    }
}

/// A number that tasks share.
private final class Counter: Sendable {
    private let value = Atomic(0)

    func add(_ change: Int) -> Int { value.add(change, ordering: .sequentiallyConsistent).newValue }
}
