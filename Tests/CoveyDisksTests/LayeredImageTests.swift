import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing

@testable import CoveyDisks

/// Layers out of nothing: a tree that a closure makes.
private final class MadeUpLayers: LayeredImages {
    struct State {
        var collected: [Set<String>] = []
        var forgotten: [RegistryPull] = []
        var released = 0
    }

    let state = Mutex(State())
    private let fill: @Sendable (String) throws -> Void

    init(_ fill: @escaping @Sendable (String) throws -> Void) { self.fill = fill }

    func pull(
        _ pull: RegistryPull, into folder: String, progress: @escaping ProgressHandler
    ) async throws -> UnpackedImage {
        try fill(folder)
        let origin = ImageOrigin(
            reference: pull.reference, manifestDigest: "sha256:" + String(repeating: "a1", count: 32),
            configurationDigest: "sha256:c",
            layers: [ImageLayer(digest: "sha256:l", size: ByteCount(1), mediaType: "x")], history: [])
        return UnpackedImage(
            origin: origin, configuration: ImageConfiguration(command: ["x"]),
            hold: BlobHold { [weak self] in self?.state.withLock { $0.released += 1 } })
    }

    func unpack(
        _ archive: String, name: String, into folder: String, progress: @escaping ProgressHandler
    ) async throws { throw CoveyError(.unsupported, "no archives here") }

    func take(
        archive path: String, name: String, into folder: String, progress: @escaping ProgressHandler
    ) async throws -> UnpackedImage? { nil }

    func export(
        _ origin: ImageOrigin, output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {}

    func forget(_ pull: RegistryPull) async throws { state.withLock { $0.forgotten.append(pull) } }

    func collect(partial: Bool, wanted: @Sendable () async throws -> Set<String>) async throws -> ByteCount {
        let wanted = try await wanted()
        state.withLock { $0.collected.append(wanted) }
        return ByteCount(0)
    }

    func usage(wanted: Set<String>) async throws -> (blobs: DiskUsage, loose: [PrunedItem]) {
        let loose = wanted.isEmpty ? [PrunedItem(kind: .blob, name: "sha256:l", freed: ByteCount(7))] : []
        return (DiskUsage(kind: .blobs, count: 3, reclaimable: ByteCount(wanted.isEmpty ? 7 : 0)), loose)
    }
}

@Suite("Images of layers")
struct LayeredImageTests {
    private static let ids = IdentifierSource(time: { Timestamp(milliseconds: 1_700_000_000_000) })

    private static func fill(_ folder: String) throws {
        for name in ["b", "a", "c"] {
            try makeFolder("\(folder)/\(name)/inner", mode: 0o755)
            try writeFileAtomically("\(folder)/\(name)/file", Array(name.utf8), mode: 0o644)
            try setFileTimes("\(folder)/\(name)/file", secondsSince1970: 1000)
            try setFileTimes("\(folder)/\(name)/inner", secondsSince1970: 1000)
        }
        try check("link") { link("\(folder)/a/file", "\(folder)/a/second") }
        for name in ["a", "b", "c"] { try setFileTimes("\(folder)/\(name)", secondsSince1970: 1000) }
        try setFileTimes(folder, secondsSince1970: 1000)
    }

    private func scratch() throws -> String {
        let path = "/tmp/cvy-layers-\(getpid())-\(UInt32.random(in: .min ... .max))"
        try makeFolder(path)
        return path
    }

    @Test("the same manifest gives the same bytes, a sound file system, and places for what a machine mounts")
    func deterministic() async throws {
        let root = try scratch()
        defer { try? removeTree(root) }
        let layers = MadeUpLayers { try LayeredImageTests.fill($0) }
        let store = ImageStore(root: root, layers: layers)
        let source = ImageSpec.Source.registry(pull: RegistryPull(reference: "docker.io/library/x:1"))
        var digests: Set<String> = []
        for _ in 0..<2 {
            let image = try await store.build(Self.ids.next(), from: source) { _, _, _, _ in }
            digests.insert(image.digest)
            #expect(image.origin?.reference == "docker.io/library/x:1")
            try await Tool(name: "e2fsck", package: "e2fsprogs").run(["-fn", image.path], limit: .seconds(60))
            let listing = try await Tool.debugfs.run(["-R", "ls -p /", image.path], limit: .seconds(60)).text
            for name in ["dev", "proc", "sys", "run", "tmp", "a"] { #expect(listing.contains("/\(name)/"), "\(name)") }
            #expect(image.size.bytes > 64 << 20)
        }
        #expect(digests.count == 1)
        #expect(layers.state.withLock(\.released) == 2)
    }

    @Test("blobs are collected without those of images that are there; a failed pull leaves nothing")
    func collection() async throws {
        let root = try scratch()
        defer { try? removeTree(root) }
        let layers = MadeUpLayers { try LayeredImageTests.fill($0) }
        let store = ImageStore(root: root, layers: layers)
        let pull = RegistryPull(reference: "docker.io/library/x:1", access: "token")
        let id = Self.ids.next(Image.self)
        _ = try await store.build(id, from: .registry(pull: pull)) { _, _, _, _ in }
        let broken = MadeUpLayers { _ in throw CoveyError(.corrupt, "broken") }
        let other = ImageStore(root: root, layers: broken)
        await #expect(throws: CoveyError.self) {
            _ = try await other.build(Self.ids.next(), from: .registry(pull: pull)) { _, _, _, _ in }
        }
        let named: Set<String> = ["sha256:l", "sha256:c", "sha256:" + String(repeating: "a1", count: 32)]
        #expect(broken.state.withLock(\.collected) == [named])
        #expect(try listFolder(root) == ["\(id)"])
        try await store.release(.registry(pull: pull))
        #expect(layers.state.withLock(\.forgotten) == [pull])
        try await store.remove(id)
        #expect(layers.state.withLock(\.collected) == [[]])
    }

    @Test("a further name shares the content, counts once, and keeps it until the last name is gone")
    func links() async throws {
        let root = try scratch()
        defer { try? removeTree(root) }
        let layers = MadeUpLayers { try LayeredImageTests.fill($0) }
        let store = ImageStore(root: root, layers: layers)
        let (first, second) = (Self.ids.next(Image.self), Self.ids.next(Image.self))
        let pull = RegistryPull(reference: "docker.io/library/x:1")
        let made = try await store.build(first, from: .registry(pull: pull)) { _, _, _, _ in }
        let linked = try await store.link(second, to: first)
        #expect(linked.digest == made.digest && linked.path != made.path && linked.origin == made.origin)
        #expect(try await store.link(second, to: first) == linked, "idempotent")
        var usage = try await store.usage(without: [first], awaited: false)
        // Each name has a manifest of its own, which goes with it.
        let manifest = usage.images.reclaimable
        #expect(usage.images.count == 2 && (1..<65536).contains(manifest.bytes))
        let content = made.allocated.bytes
        #expect((content..<content + 65536).contains(usage.images.allocated.bytes))
        #expect(usage.items == [PrunedItem(kind: .image, name: "\(first)", freed: manifest)], "content stays")
        usage = try await store.usage(without: [first, second], awaited: false)
        #expect(usage.images.reclaimable == usage.images.allocated)
        #expect(usage.items.reduce(0) { $0 + $1.freed.bytes } == usage.images.allocated.bytes + 7)
        #expect(usage.items.contains { $0.kind == .blob })
        let careful = try await store.usage(without: [first, second], awaited: true)
        #expect(careful.blobs.reclaimable == ByteCount(0) && !careful.items.contains { $0.kind == .blob })
        try await store.remove(first)
        #expect(try await store.image(second) == linked)
        try await Tool(name: "e2fsck", package: "e2fsprogs").run(["-fn", linked.path], limit: .seconds(60))
        let gone = await failure { _ = try await store.link(Self.ids.next(), to: first) }
        #expect(gone?.code == .notFound)
        #expect(try listFolder(root) == ["\(second)"])
        try await store.remove(second)
        #expect(try listFolder(root).isEmpty)
    }
}
