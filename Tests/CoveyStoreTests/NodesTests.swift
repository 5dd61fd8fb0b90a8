internal import CoveyModel
internal import CoveyTesting
internal import Testing

@testable internal import CoveyStore

@Suite("Nodes of one store")
struct NodesTests {
    private func node(_ number: UInt64) -> NodeID { NodeID(high: 9, low: number) }

    private func register(_ fixture: Fixture, _ id: NodeID, _ name: String) async throws {
        guard let instance = InstanceID("0badcafe") else { throw CancellationError() }
        try await fixture.repositories.nodes.register(
            Node(
                metadata: Metadata(id: id, name: name, tenant: "default", createdAt: fixture.time.now()),
                status: NodeStatus(
                    instance: instance, architecture: .amd64, kernelRelease: "6.1", cpus: 1, memory: .mebibytes(1),
                    version: "0.1.0")))
    }

    @Test("a name is one node's, who has it is told, and it is free once that node has another")
    func names() async throws {
        let fixture = try await Fixture()
        let nodes = fixture.repositories.nodes
        try await nodes.claim("a", for: node(1))
        try await nodes.claim("a", for: node(1))
        try await register(fixture, node(1), "a")
        let refused = await #expect(throws: CoveyError.self) { try await nodes.claim("a", for: node(2)) }
        #expect(refused?.code == .conflict && refused?.remedy?.contains("--node-name") == true)
        #expect(refused?.message.contains("0badcafe") == true)
        try await nodes.claim("b", for: node(1))
        try await register(fixture, node(1), "b")
        try await nodes.claim("a", for: node(2))
        #expect(try await fixture.store.keys("name/node/") == ["name/node/a", "name/node/b"])
        #expect(try await nodes.name(of: node(1)) == "b")
        await #expect(throws: CoveyError.self) { try await nodes.claim("not a label", for: node(3)) }
    }

    @Test("of many nodes that want one name at once one gets it")
    func race() async throws {
        let fixture = try await Fixture()
        let won = await withTaskGroup(of: Bool.self) { group in
            for number in 1...20 {
                group.addTask {
                    do {
                        try await fixture.repositories.nodes.claim("a", for: node(UInt64(number)))
                        return true
                    } catch { return false }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(won == 1)
    }

    @Test("a node shows that it is there under a lease, and ends where its name has become another's")
    func presence() async throws {
        let fixture = try await Fixture()
        let nodes = fixture.repositories.nodes
        try await nodes.claim("a", for: node(1))
        let watch = try await fixture.store.watch("presence/", from: nil)
        let sign = Task { try await nodes.stayPresent(node(1), as: "a", clock: StoreClock()) }
        _ = try await watch.makeAsyncIterator().next()
        #expect(try await nodes.present() == [node(1)])
        #expect(try await fixture.store.get("presence/\(node(1))")?.lease != nil)
        #expect(try await fixture.store.nodes(besides: node(2), present: true) == ["a"])
        #expect(try await fixture.store.nodes(besides: node(1), present: true).isEmpty)
        sign.cancel()
        _ = await sign.result
        let refused = await #expect(throws: CoveyError.self) {
            try await nodes.stayPresent(node(2), as: "a", clock: StoreClock())
        }
        #expect(refused?.code == .conflict)
    }

    @Test("images, kernels and volumes are removed by the node that made them, whichever daemon is asked")
    func owners() async throws {
        let fixture = try await Fixture()
        let images = fixture.repositories.images
        let made = try await images.create(
            .standard, name: "x", spec: ImageSpec(source: .builtIn), node: node(1), requestID: "x")
        #expect(made.image.status.node == node(1))
        let removal = try await images.requestRemoval(made.image.metadata.id, node: node(2), requestID: "rm")
        #expect(removal.operation.spec.node == node(1))
        #expect(made.image.isObtainable(on: node(2)))
        let volume = try await fixture.repositories.volumes.create(
            .standard, name: "v", spec: VolumeSpec(size: .mebibytes(1)), node: node(1), requestID: "v")
        let gone = try await fixture.repositories.volumes.requestRemoval(
            volume.volume.metadata.id, node: node(2), requestID: "rmv")
        #expect(gone.operation.spec.node == node(1))
    }
}
