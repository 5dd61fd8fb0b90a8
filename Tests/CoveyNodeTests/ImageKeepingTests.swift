import CoveyModel
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import Testing

@Suite("Keeping images on a node") struct ImageKeepingTests {
    @Test("an image that a machine took before it was marked stays, and its removal says who has it")
    func taken() async throws {
        try await Rig.with { rig in
            try rig.start()
            let id = rig.image.metadata.id
            let machine = try await rig.create("web").machine
            try await rig.wait(machine.metadata.id, "it runs") { $0?.status.phase == .running }
            // As from a server that looked before the machine was there.
            let removal = try await rig.repositories.images.requestRemoval(id, node: rig.node, requestID: "rm")
            let ended = try await rig.wait(removal.operation)
            #expect(ended.status.state == .failed && ended.status.error?.code == .conflict)
            #expect(ended.status.error?.message.contains("vm web") == true)
            try await rig.waitForImage(id) { $0?.status.state == .ready }
            try await rig.want(machine.metadata.id, .deleteMachine) { $0.deleting = true }
            try await rig.wait(machine.metadata.id, "it is gone") { $0 == nil }
            let second = try await rig.repositories.images.requestRemoval(id, node: rig.node, requestID: "rm2")
            #expect(try await rig.wait(second.operation).status.state == .succeeded)
            try await rig.waitForImage(id) { $0 == nil }
        }
    }

    @Test("a removal that the agent died in is refused or done by the next one, whether or not anybody waits")
    func restart() async throws {
        try await Rig.with { rig in
            let id = rig.image.metadata.id
            try await rig.repositories.images.updateStatus(id) { status in
                status.state = .ready
                status.digest = "sha256:0"
            }
            _ = try await rig.create("web")
            _ = try await rig.repositories.images.requestRemoval(id, node: rig.node, requestID: "rm")
            try rig.start()
            try await rig.waitForImage(id) { $0?.status.state == .ready }
        }
    }

    @Test("a further name becomes ready with the digest of the first")
    func tag() async throws {
        try await Rig.with { rig in
            try rig.start()
            let id = rig.image.metadata.id
            let base = try await rig.waitForImage(id) { $0?.status.state == .ready }
            let spec = try #require(base).spec.tag(of: id)
            let made = try await rig.repositories.images.create(
                .standard, name: "second", spec: spec, node: rig.node, requestID: "tag")
            #expect(try await rig.wait(made.operation).status.state == .succeeded)
            let tagged = try await rig.repositories.images.get(made.image.metadata.id)
            #expect(tagged.status.digest == base?.status.digest && tagged.status.state == .ready)
        }
    }
}

extension Rig {
    /// Waits until an image is as it should be; nil means that it is gone.
    @discardableResult
    fileprivate func waitForImage(
        _ id: ImageID, _ condition: @escaping @Sendable (Image?) -> Bool
    ) async throws -> Image? {
        try await withDeadline(.seconds(120), "an image") { [repositories] in
            for try await _ in repositories.images.watch() {
                var image: Image?
                do { image = try await repositories.images.get(id) } catch let error as CoveyError
                    where error.code == .notFound
                {}
                if condition(image) { return image }
            }
            throw CancellationError()
        }
    }
}
