internal import CoveyModel
internal import CoveyStore
internal import Testing

@Suite("What needs images", .timeLimit(.minutes(1)))
struct ImageUsesTests {
    private func image(_ fixture: Fixture, _ name: String, _ spec: ImageSpec? = nil) async throws -> Image {
        let made = try await fixture.repositories.images.create(
            .standard, name: name, spec: spec ?? ImageSpec(source: .debian(suite: "sid")), node: fixture.node,
            requestID: "image-\(name)")
        return try await fixture.repositories.images.updateStatus(made.image.metadata.id) { status in
            status.state = .ready
            status.digest = "sha256:0"
        }
    }

    private func machine(_ fixture: Fixture, _ name: String, of image: Image) async throws -> VirtualMachine {
        var spec = MachineSpec(image: image.metadata.name)
        spec.imageID = image.metadata.id
        return try await fixture.machines.create(
            .standard, name: name, spec: spec, node: fixture.node, requestID: "vm-\(name)"
        ).machine
    }

    @Test("nothing new comes to need an image that is marked as to be deleted, until that is taken back")
    func marked() async throws {
        let fixture = try await Fixture()
        let images = fixture.repositories.images
        let base = try await image(fixture, "base")
        let id = base.metadata.id
        _ = try await images.requestRemoval(id, node: fixture.node, requestID: "rm")
        #expect(await code { _ = try await machine(fixture, "web", of: base) } == .conflict)
        #expect(
            await code {
                _ = try await images.create(
                    .standard, name: "second", spec: base.spec.tag(of: id), node: fixture.node, requestID: "tag")
            } == .conflict)
        try await images.keep(id)
        #expect(try await images.get(id).status.state == .ready)
        let web = try await machine(fixture, "web", of: base)
        let uses = try await fixture.repositories.imageUses()
        #expect(uses.users == [id: [ResourceReference("vm", "web")]] && uses.unreadable == 0)
        let refusal = #expect(throws: CoveyError.self) { try uses.check(id, name: "base") }
        #expect(refusal?.code == .conflict && refusal?.remedy?.contains("covey vm rm web") == true)
        try await fixture.machines.remove(web.metadata.id)
        try await fixture.repositories.imageUses().check(id, name: "base")
        _ = try await images.requestRemoval(id, node: fixture.node, requestID: "rm2")
        try await images.remove(id)
        #expect(await code { _ = try await machine(fixture, "late", of: base) } == .notFound)
        #expect(try await fixture.machines.list().items.isEmpty)
    }

    @Test("of a machine and a removal at the same moment the machine is there first or not at all")
    func race() async throws {
        let fixture = try await Fixture()
        let images = fixture.repositories.images
        for turn in 0..<60 {
            let base = try await image(fixture, "base-\(turn)")
            let id = base.metadata.id
            async let making = machine(fixture, "vm-\(turn)", of: base)
            let removal = try await images.requestRemoval(id, node: fixture.node, requestID: "rm-\(turn)")
            do {
                let made = try await making
                #expect(made.metadata.revision < removal.operation.metadata.revision)
                #expect(try await fixture.repositories.imageUses().users[id] != nil)
            } catch let error as CoveyError {
                #expect(error.code == .conflict)
                #expect(try await fixture.repositories.imageUses().users[id] == nil)
            }
        }
    }

    @Test("an image is needed by a further name and by a promotion until these are made")
    func awaited() async throws {
        let fixture = try await Fixture()
        let images = fixture.repositories.images
        let pull = RegistryPull(reference: "docker.io/library/x:1", access: "secret")
        let base = try await image(fixture, "base", ImageSpec(source: .registry(pull: pull)))
        let id = base.metadata.id
        let spec = base.spec.tag(of: id)
        #expect(spec.tagOf == id && spec.isPulled)
        #expect(spec.source == .registry(pull: RegistryPull(reference: "docker.io/library/x:1")))
        let tag = try await images.create(
            .standard, name: "second", spec: spec, node: fixture.node, requestID: "tag")
        let promotion = try await images.create(
            .standard, name: "third",
            spec: ImageSpec(source: .machine(id: MachineID(high: 1, low: 1), name: "web", image: id)),
            node: fixture.node, requestID: "promote")
        #expect(try await fixture.repositories.imageUses().users[id]?.count == 2)
        for made in [tag, promotion] {
            try await images.updateStatus(made.image.metadata.id) { $0.state = .ready }
        }
        #expect(try await fixture.repositories.imageUses().users.isEmpty)
        // A repeat is answered as the first time, though the image that was named is gone.
        try await images.remove(id)
        let again = try await images.create(
            .standard, name: "second", spec: spec, node: fixture.node, requestID: "tag")
        #expect(again.image.metadata.id == tag.image.metadata.id && again.operation == tag.operation)
    }
}
