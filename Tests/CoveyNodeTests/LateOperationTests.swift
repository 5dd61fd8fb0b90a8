import CoveyModel
import CoveyNode
import CoveyStore
import Testing

@Suite("Operations that come late") struct LateOperationTests {
    @Test("an operation is settled by what its image has come to, though the work was done before it was heard of")
    func late() async throws {
        try await Rig.with { rig in
            let images = rig.repositories.images
            // As a daemon leaves it that dies between the two writes.
            let made = try await images.create(
                .standard, name: "done", spec: ImageSpec(source: .builtIn), node: rig.node, requestID: "done")
            try await images.updateStatus(made.image.metadata.id) {
                $0.state = .ready
                $0.digest = "sha256:0"
            }
            let broken = try await images.create(
                .standard, name: "broken", spec: ImageSpec(source: .builtIn), node: rig.node, requestID: "broken")
            try await images.updateStatus(broken.image.metadata.id) {
                $0.state = .failed
                $0.lastError = CoveyError(.corrupt, "bad bytes")
            }
            let gone = try await images.create(
                .standard, name: "gone", spec: ImageSpec(source: .builtIn), node: rig.node, requestID: "gone")
            try await images.updateStatus(gone.image.metadata.id) { $0.state = .ready }
            let removal = try await images.requestRemoval(
                gone.image.metadata.id, node: rig.node, requestID: "removal")
            try await images.remove(gone.image.metadata.id)
            try rig.start()
            #expect(try await rig.wait(made.operation).status.state == .succeeded)
            let failed = try await rig.wait(broken.operation)
            #expect(failed.status.state == .failed && failed.status.error?.message == "bad bytes")
            #expect(try await rig.wait(removal.operation).status.state == .succeeded)
        }
    }
}
