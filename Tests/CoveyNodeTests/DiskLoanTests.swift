import CoveyModel
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import Testing

/// A machine's disk that becomes an image.
@Suite struct DiskLoanTests {
    private func promote(
        _ rig: Rig, _ machine: VirtualMachine
    ) async throws -> (image: Image, operation: CoveyModel.Operation) {
        try await rig.repositories.images.create(
            .standard, name: "golden",
            spec: ImageSpec(
                source: .machine(
                    id: machine.metadata.id, name: machine.metadata.name, image: rig.image.metadata.id)),
            node: rig.node, requestID: "promote")
    }

    @Test("a start that is wanted while a disk is copied waits for the copy's end")
    func waits() async throws {
        try await Rig.with { rig in
            let agent = try rig.start()
            let (machine, made) = try await rig.create("web")
            let id = machine.metadata.id
            _ = try await rig.wait(made)
            try await rig.want(id, .stopMachine) { $0.wanted = .stopped }
            try await rig.wait(id, "stopped") { $0?.status.phase == .stopped }
            rig.host.holdCopies(true)
            let (image, copied) = try await promote(rig, machine)
            try await withDeadline(.seconds(60), "the copy's begin") {
                while rig.host.waitingCopies == 0 { await Task.yield() }
            }
            try await rig.want(id, .startMachine) { spec in
                spec.wanted = .running
                spec.startRequest += 1
            }
            try await rig.wait(id, "preparing") { $0?.status.phase == .preparing }
            // Whoever looks again finds the same, and another machine gets by meanwhile.
            agent.lookAtAll()
            _ = try await rig.wait(try await rig.create("other").operation)
            try await rig.wait(id, "preparing") { $0?.status.phase == .preparing }
            #expect(rig.host.living(id).isEmpty)
            let before = rig.host.ledger.count
            #expect(try await rig.repositories.images.get(image.metadata.id).status.state == .building)
            rig.host.holdCopies(false)
            #expect(try await rig.wait(copied).status.state == .succeeded)
            try await rig.wait(id, "running") { $0?.status.phase == .running }
            #expect(rig.host.ledger.count > before)
            #expect(rig.host.living(id).count == 1)
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("the disk of a machine that runs is not copied, and the image is gone again")
    func running() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, made) = try await rig.create("web")
            _ = try await rig.wait(made)
            let (image, operation) = try await promote(rig, machine)
            let failed = try await rig.wait(operation)
            #expect(failed.status.state == .failed)
            #expect(failed.status.error?.code == .conflict)
            #expect(failed.status.error?.remedy == "stop it first: covey vm stop web")
            await #expect(throws: CoveyError.self) { try await rig.repositories.images.get(image.metadata.id) }
            #expect(rig.host.living(machine.metadata.id).count == 1)
        }
    }
}
