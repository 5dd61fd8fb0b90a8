import CoveyAPI
import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import Synchronization
import Testing

@Suite struct ImageKeepingServiceTests {
    /// An image of a registry that can be used.
    private func addPulled(_ test: TestServer, _ name: String) async throws -> Image {
        let pull = RegistryPull(reference: "docker.io/library/\(name):1")
        let image = try await test.repositories.images.create(
            .standard, name: name, spec: ImageSpec(source: .registry(pull: pull)), node: test.node,
            requestID: "image-\(name)"
        ).image
        return try await test.repositories.images.updateStatus(image.metadata.id) { $0.state = .ready }
    }

    @Test("a further name is an image of its own with the same source, once, and only of one that is ready")
    func tag() async throws {
        try await TestServer.with { test in
            let base = try await addPulled(test, "base")
            try await test.call { client in
                let made = try await client.tagImage("base", as: "team/app:2", requestID: "t")
                #expect(made.subject.spec.tagOf == base.metadata.id)
                #expect(made.subject.spec.source == base.spec.source)
                #expect(made.operation?.spec.kind == .buildImage)
                let again = try await client.tagImage("base", as: "team/app:2", requestID: "t")
                #expect(again.subject.metadata.id == made.subject.metadata.id)
                let taken = await failure { try await client.tagImage("base", as: "team/app:2") }
                #expect(taken?.code == .conflict && taken?.remedy != nil)
                let early = await failure { try await client.tagImage("team/app:2", as: "x") }
                #expect(early?.code == .conflict && early?.message.contains("pending") == true)
                #expect((await failure { try await client.tagImage("base", as: "a b") })?.code == .invalid)
                #expect((await failure { try await client.tagImage("nobody", as: "x") })?.code == .notFound)
                // Until the name is made, the content is needed.
                #expect((await failure { try await client.deleteImage("base") })?.code == .conflict)
            }
        }
    }

    @Test("prune takes what nothing needs, with --all also pulled images of no machine; a dry run takes nothing")
    func prune() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage("built")
            let (used, idle) = (try await addPulled(test, "used"), try await addPulled(test, "idle"))
            let broken = try await test.addImage("broken")
            let images = test.repositories.images
            try await images.updateStatus(broken.metadata.id) { $0.state = .failed }
            let blob = PrunedItem(kind: .blob, name: "sha256:1", freed: ByteCount(5))
            test.gateway.state.withLock { $0.loose = [blob] }
            // The node's part: what is marked goes, but for what a machine has.
            let node = Task {
                for try await change in images.watch() {
                    guard case .updated(let image) = change, image.status.state == .deleting else { continue }
                    if image.metadata.id == used.metadata.id {
                        try await images.keep(image.metadata.id)
                    } else {
                        try await images.remove(image.metadata.id)
                    }
                }
            }
            defer { node.cancel() }
            try await test.call { client in
                _ = try await client.createMachine(MachineRequest(image: "used"))
                let plan = try await client.pruneImages(all: true, dryRun: true)
                #expect(Set(plan.map(\.name)) == ["broken", "idle", "sha256:1"])
                #expect(try await client.listImages().count == 4)
                let first = try await client.pruneImages()
                #expect(Set(first.map(\.name)) == ["broken", "sha256:1"])
                #expect(try await client.listImages().map(\.metadata.name) == ["built", "idle", "used"])
                let second = try await client.pruneImages(all: true)
                #expect(second == [PrunedItem(kind: .image, name: "idle", freed: .mebibytes(3))])
                #expect(try await client.listImages().map(\.metadata.name) == ["built", "used"])
                #expect(try await client.pruneImages(all: true).isEmpty)
            }
            #expect(test.gateway.state.withLock { $0.asked }.contains([idle.metadata.id]))
        }
    }

    @Test("what the node's disk is used for counts pulled images of no machine as reclaimable")
    func usage() async throws {
        try await TestServer.with { test in
            try await test.addImage("built")
            _ = try await addPulled(test, "idle")
            try await test.call { client in
                let figures = try await client.diskUsage()
                #expect(figures == [DiskUsage(kind: .images, count: 2, reclaimable: ByteCount(1))])
            }
        }
    }
}
