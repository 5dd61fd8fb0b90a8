import CoveyImages
import CoveyModel
import CoveySystem
import CoveyTesting
import Glibc
import Synchronization
import Testing

@testable import CoveyRegistry

@Suite("Pulls that are cut", .timeLimit(.minutes(10)), .serialized)
struct CutTests {
    private static let size = 3_000_000

    @Test("cut 50 times at random points, by resets and by the end of the one who pulls: the same bytes, no leftovers")
    func random() async throws {
        let generator = Mutex(SeededGenerator(seed: 20_261_121))
        let cutting = Mutex(true)
        let registry = try FakeRegistry(layerSize: CutTests.size) { request, answer in
            guard request.path.contains("/blobs/"), cutting.withLock({ $0 }), answer.body.count > 1000 else {
                return answer
            }
            var answer = answer
            answer.cutAfter = generator.withLock { Int.random(in: 0..<answer.body.count, using: &$0) } / 4
            return answer
        }
        var settings = quickSettings(plainHTTP: [registry.server.host])
        settings.transfer.attempts = 2
        let scratch = try Scratch("cuts")
        func images() -> RegistryImages {
            RegistryImages(blobs: "\(scratch.path)/blobs", credentials: "\(scratch.path)/access", settings: settings)
        }
        let pull = RegistryPull(reference: registry.reference)
        var failures = 0
        for turn in 0..<50 {
            // Each turn stands for a daemon of its own: it knows only what lies on the disk.
            let images = images()
            let tree = try scratch.folder("tree\(turn)")
            let (begun, beginning) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await images.pull(pull, into: tree) { stage, done, _, _ in
                    if stage.hasPrefix("layer"), done ?? 0 > 0 { beginning.yield() }
                }
            }
            if turn % 3 == 0 {
                // Killed in the middle, as far as one process can do it to itself.
                for await _ in begun { break }
                task.cancel()
            }
            do {
                _ = try await task.value
                // It was faster than the cuts; from the start again.
                _ = try await images.collect(partial: true) { [] }
            } catch { failures += 1 }
            beginning.finish()
            try removeTree(tree)
        }
        #expect(failures >= 25)
        cutting.withLock { $0 = false }
        let tree = try scratch.folder("tree")
        let last = images()
        let image = try await last.pull(pull, into: tree) { _, _, _, _ in }
        #expect(image.origin.manifestDigest == registry.manifestDigest)
        #expect(try readFile("\(tree)/file").count == CutTests.size)
        #expect(try listFolder("\(scratch.path)/blobs/partial").isEmpty)
        #expect(try listFolder("\(scratch.path)/blobs/sha256").count == 3)
        #expect(
            FakeRegistry.digest(try readFile("\(scratch.path)/blobs/sha256/\(registry.layerDigest.dropFirst(7))"))
                == registry.layerDigest)
    }

    @Test("a disk that fills is told, whether while fetching or while unpacking, and room later is used")
    func fullDisk() async throws {
        let registry = try FakeRegistry(layerSize: CutTests.size)
        for (kilobytes, stage) in [(2000, "fetching"), (4500, "unpacking")] {
            let scratch = try Scratch("full")
            let small = try scratch.folder("small")
            try await shell("mount -t tmpfs -o size=\(kilobytes)k none '\(small)'")
            let settings = quickSettings(plainHTTP: [registry.server.host])
            let images = RegistryImages(
                blobs: "\(small)/blobs", credentials: "\(scratch.path)/access", settings: settings)
            try makeFolder("\(small)/tree", mode: 0o755)
            let pull = RegistryPull(reference: registry.reference)
            let error = await failure { _ = try await images.pull(pull, into: "\(small)/tree") { _, _, _, _ in } }
            #expect(error?.code == .exhausted, "\(stage): \(String(describing: error))")
            #expect(error?.remedy?.contains("free space") == true)
            try removeTree("\(small)/tree")
            _ = try await images.collect(partial: true) { [] }
            #expect(try listFolder("\(small)/blobs/sha256").isEmpty)
            #expect(try listFolder("\(small)/blobs/partial").isEmpty)
            try await shell("mount -o remount,size=20m '\(small)'")
            try makeFolder("\(small)/tree", mode: 0o755)
            _ = try await images.pull(pull, into: "\(small)/tree") { _, _, _, _ in }
            #expect(try readFile("\(small)/tree/file").count == CutTests.size)
            try await shell("umount '\(small)'")
        }
    }
}
