import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import Synchronization
import Testing

@Suite struct ImageSourceServiceTests {
    private static func entry(
        _ name: String, _ kind: CatalogEntry.Kind, kernel: String? = nil, architecture: Architecture = .amd64
    ) -> CatalogEntry {
        CatalogEntry(
            catalog: "acme", name: name, kind: kind, architecture: architecture, url: "x", size: ByteCount(1),
            sha256: String(repeating: "a", count: 64), kernel: kernel)
    }

    @Test("a file's bytes and holes reach the node, and the image's source names where they lie")
    func register() async throws {
        try await TestServer.with { test in
            let pieces = Mutex<[FilePiece]>([.bytes([1, 2]), .zeros(3), .bytes([4])])
            try await test.call { client in
                let made = try await client.registerImage("web", file: "root.ext4", choices: ImageChoices(user: "u")) {
                    pieces.withLock { $0.isEmpty ? nil : $0.removeFirst() }
                }
                #expect(made.subject.metadata.name == "web")
                let source = ImageSpec.Source.upload(
                    name: "root.ext4", token: "abc123", choices: ImageChoices(user: "u"))
                #expect(made.subject.spec.source == source)
                #expect(made.operation?.spec.kind == .buildImage)
            }
            test.gateway.state.withLock { state in
                #expect(state.spooled["abc123"]?[.image] == [1, 2, 0, 0, 0, 4])
                #expect(state.finished == ["abc123"] && state.discarded.isEmpty)
            }
        }
    }

    @Test("an image that is refused leaves nothing on the node")
    func refused() async throws {
        try await TestServer.with { test in
            let taken = try await test.addImage("taken")
            let conflict = await failure {
                try await test.call { client in
                    try await client.registerImage(taken.metadata.name, file: "x") { nil }
                }
            }
            #expect(conflict?.code == .conflict && conflict?.remedy?.contains("covey image rm taken") == true)
            test.gateway.state.withLock { #expect($0.discarded == ["abc123"]) }
            let bad = await failure {
                try await test.call { client in
                    try await client.registerImage("web", file: "x", choices: ImageChoices(initPath: "init")) { nil }
                }
            }
            #expect(bad?.code == .invalid)
        }
    }

    @Test("an entry of a catalog brings its kernel; a second pull of it is answered with what is there")
    func pull() async throws {
        try await TestServer.with { test in
            test.gateway.state.withLock {
                $0.entries = [
                    Self.entry("base", .image, kernel: "6.1"), Self.entry("6.1", .kernel),
                    Self.entry("both", .bundle, kernel: "own"), Self.entry("arm", .image, architecture: .arm64),
                ]
            }
            try await test.call { client in
                let made = try await client.pullImage(CatalogReference("acme/base"))
                #expect(made.image.metadata.name == "acme/base" && made.image.spec.kernel == "6.1")
                #expect(made.operation != nil)
                #expect(try await client.kernel("6.1").spec.source == "catalog:acme/6.1")
                let again = try await client.pullImage(CatalogReference("acme/base"))
                #expect(again.image.metadata.id == made.image.metadata.id)
                let both = try await client.pullImage(CatalogReference("acme/both", insecure: true), name: "b")
                #expect(both.image.spec.source == .catalog(catalog: "acme", name: "both", insecure: true))
                #expect(try await client.kernel("own").spec.source == "image:\(both.image.metadata.id)")
                let kernel = try await client.importKernel(
                    .catalog(CatalogReference("6.1", insecure: true)), name: "other")
                #expect(kernel.subject.spec.source == "catalog-insecure:acme/6.1")
                #expect(try await client.catalogEntries(kinds: [.kernel]).map(\.name) == ["6.1"])
                #expect((await failure { try await client.pullImage(CatalogReference("acme/no")) })?.code == .notFound)
                #expect((await failure { try await client.pullImage(CatalogReference("acme/6.1")) })?.code == .notFound)
                let arm = await failure { try await client.pullImage(CatalogReference("acme/arm")) }
                #expect(arm?.code == .unsupported)
            }
        }
    }
}
