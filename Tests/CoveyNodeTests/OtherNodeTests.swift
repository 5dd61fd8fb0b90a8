import CoveyModel
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import Testing

@Suite("What other nodes made") struct OtherNodeTests {
    @Test("is neither made nor removed here, whoever asked for it")
    func left() async throws {
        try await Rig.with { rig in
            let other = Rig.ids.next(Node.self)
            let theirs = try await rig.repositories.images.create(
                .standard, name: "theirs", spec: ImageSpec(source: .builtIn), node: other, requestID: "theirs"
            ).image.metadata.id
            try rig.start()
            try await rig.image(rig.image.metadata.id) { $0?.status.state == .ready }
            let removal = try await rig.repositories.images.requestRemoval(theirs, node: rig.node, requestID: "rm")
            #expect(removal.operation.spec.node == other)
            // What comes after it in the same watch is dealt with: it was looked at, and left.
            let mine = try await rig.repositories.images.create(
                .standard, name: "mine", spec: ImageSpec(source: .builtIn), node: rig.node, requestID: "mine")
            #expect(try await rig.wait(mine.operation).status.state == .succeeded)
            #expect(try await rig.repositories.images.get(theirs).status.state == .deleting)
            let left = try await rig.repositories.operations.get(removal.operation.metadata.id)
            #expect(left.status.state == .pending)
        }
    }

    @Test("records of older programs, which name no node, are taken by the one that has or makes their content")
    func claimed() async throws {
        try await Rig.with { rig in
            try await rig.repositories.images.updateStatus(rig.image.metadata.id) { $0.node = nil }
            try await rig.repositories.kernels.updateStatus(rig.kernel.metadata.id) { $0.node = nil }
            try rig.start()
            let image = try await rig.image(rig.image.metadata.id) { $0?.status.state == .ready }
            #expect(image?.status.node == rig.node)
            let machine = try await rig.create("web").machine.metadata.id
            try await rig.wait(machine, "it runs") { $0?.status.phase == .running }
            #expect(try await rig.repositories.kernels.get(rig.kernel.metadata.id).status.node == rig.node)
        }
    }
}

extension Rig {
    /// Waits until an image is as it should be; nil means that it is gone.
    @discardableResult
    fileprivate func image(
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
