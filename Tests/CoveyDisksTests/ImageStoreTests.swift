import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing

@testable import CoveyDisks

@Suite("Image store")
struct ImageStoreTests {
    private let check = Tool(name: "e2fsck", package: "e2fsprogs")

    @Test("the busybox image is a clean file system with a shell, and its digest depends on its content alone")
    func busybox() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let first = try await store.build(newID(), from: .builtIn) { _, _, _, _ in }
            // The second one is made by another second of the clock.
            let second = Timestamp(milliseconds: Int64(time(nil)) * 1000)
            while Timestamp(milliseconds: Int64(time(nil)) * 1000) == second {
                try await Task.sleep(for: .milliseconds(20))
            }
            let id: ImageID = newID()
            let again = try await store.build(id, from: .builtIn) { _, _, _, _ in }
            #expect(first.digest == again.digest)
            #expect(first.path != again.path)
            #expect(first.size == .mebibytes(32))
            #expect(first.allocated < .mebibytes(6))
            #expect(first.configuration.command == ["/bin/sh"])
            #expect(first.configuration.initPath == nil)
            #expect(try await store.image(id) == again)
            try await check.run(["-fn", first.path], limit: .seconds(60))
            try await expectFiles(
                first.path,
                [
                    "/bin/busybox", "/bin/sh", "/etc/passwd", "/etc/group", "/etc/os-release", "/tmp", "/proc", "/sys",
                    "/dev", "/run", "/lib/modules", "/root", "/usr/bin/env",
                ])
            let shell = try await Tool.debugfs.run(["-R", "stat /bin/busybox", first.path], limit: .seconds(60)).text
            #expect(shell.contains("Mode:  0755") && shell.contains("User:     0"))
            let temporary = try await Tool.debugfs.run(["-R", "stat /tmp", first.path], limit: .seconds(60)).text
            #expect(temporary.contains("Mode:  01777"))
        }
    }

    @Test("Debian becomes a clean file system with systemd, without what waits for devices that never come")
    func debian() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let stages = Mutex<[String]>([])
            let counted = Mutex<Int64>(0)
            let image = try await store.build(newID(), from: .debian(suite: "bookworm")) { stage, done, _, _ in
                stages.withLock { if $0.last != stage { $0.append(stage) } }
                if let done { counted.withLock { $0 = max($0, done) } }
            }
            #expect(stages.withLock { $0 } == ["packages", "files", "image", "digest"])
            #expect(counted.withLock { $0 } > 80)
            #expect(image.size >= .gibibytes(2))
            #expect(image.allocated < .mebibytes(400))
            #expect(image.configuration.initPath == "/sbin/init")
            #expect(image.configuration.command == ["/bin/bash"])
            try await check.run(["-fn", image.path], limit: .seconds(60))
            try await expectFiles(
                image.path,
                [
                    "/usr/lib/systemd/systemd", "/usr/sbin/init", "/usr/bin/bash", "/usr/bin/login", "/usr/sbin/ip",
                    "/usr/bin/ps", "/etc/systemd/system/serial-getty@ttyS0.service", "/etc/machine-id", "/usr/bin/apt",
                ])
            let machine = try await Tool.debugfs.run(["-R", "stat /etc/machine-id", image.path], limit: .seconds(60))
                .text
            #expect(machine.contains("Size: 0"))
            let left = try listFolder("\(folder)/images")
            #expect(left.count == 1)
        }
    }

    @Test("a suite that nobody has fails with what mmdebstrap said, and leaves nothing")
    func unknownSuite() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let error = await failure {
                _ = try await store.build(newID(), from: .debian(suite: "no-such-suite")) { _, _, _, _ in }
            }
            #expect(error?.code == .failure)
            #expect(error?.causes.joined().contains("no-such-suite") == true)
            #expect(error?.remedy != nil)
            try expectEmpty("\(folder)/images")
        }
    }

    @Test(
        "a suite that is no name is invalid and starts nothing",
        arguments: ["", "Bookworm", "--help", "a b", "../x", "bookworm/..", "1x", String(repeating: "a", count: 33)])
    func badSuite(suite: String) async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let error = await failure {
                _ = try await store.build(newID(), from: .debian(suite: suite)) { _, _, _, _ in }
            }
            #expect(error?.code == .invalid)
            try expectEmpty("\(folder)/images")
        }
    }

    @Test("a cancelled build ends its processes and leaves nothing")
    func cancelled() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let (started, signal) = AsyncStream.makeStream(of: Void.self)
            let build = Task {
                try await store.build(newID(), from: .debian(suite: "bookworm")) { _, done, _, _ in
                    if done != nil { signal.finish() }
                }
            }
            for await _ in started {}
            build.cancel()
            let error = await failure { _ = try await build.value }
            #expect(error?.code == .cancelled)
            try expectEmpty("\(folder)/images")
            let users = try listFolder("/proc").filter { Int32($0) != nil }.filter { pid in
                guard let line = try? readText("/proc/\(pid)/cmdline") else { return false }
                return line.contains(folder)
            }
            #expect(users == [])
        }
    }

    @Test("a build onto a full file system is said so with a remedy, and leaves nothing")
    func fullDisk() async throws {
        try await withScratch { folder in
            try await withSmallDisk(at: "\(folder)/small", size: "3m") { small in
                let store = ImageStore(root: "\(small)/images")
                let error = await failure { _ = try await store.build(newID(), from: .builtIn) { _, _, _, _ in } }
                #expect(error?.code == .exhausted, "\(String(describing: error))")
                #expect(error?.remedy?.contains("free space") == true)
                let left = try listFolder("\(small)/images")
                #expect(left == [])
            }
        }
    }

    @Test("an image that is not there is not found; one that was removed neither; removing twice is the same")
    func removal() async throws {
        try await withScratch { folder in
            let store = ImageStore(root: "\(folder)/images")
            let id: ImageID = newID()
            #expect(await failure { _ = try await store.image(id) }?.code == .notFound)
            _ = try await store.build(id, from: .builtIn) { _, _, _, _ in }
            #expect(try await store.sweep(keeping: [id]) == [])
            try await store.remove(id)
            try await store.remove(id)
            #expect(await failure { _ = try await store.image(id) }?.code == .notFound)
            try expectEmpty("\(folder)/images")
        }
    }

    private func expectFiles(_ image: String, _ paths: [String]) async throws {
        for path in paths {
            let text = try await Tool.debugfs.run(["-R", "stat \(path)", image], limit: .seconds(60)).text
            #expect(text.contains("Inode:"), "\(path) is missing")
        }
    }
}
