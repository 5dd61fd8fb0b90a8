import CoveyAPI
import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import Synchronization
import Testing

@Suite struct ArtifactServiceTests {
    @Test("an image is named by its source, and a second of the name is a conflict")
    func images() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let made = try await client.buildImage(.debian(suite: ""))
                #expect(made.subject.metadata.name == "debian")
                #expect(made.subject.spec.source == .debian(suite: "bookworm"))
                #expect(made.operation?.spec.kind == .buildImage)
                let trixie = try await client.buildImage(.debian(suite: "trixie"))
                #expect(trixie.subject.metadata.name == "debian:trixie")
                #expect(try await client.buildImage(.builtIn, name: "box").subject.spec.source == .builtIn)
                let again = await failure { try await client.buildImage(.debian(suite: "")) }
                #expect(again?.code == .conflict)
                #expect(again?.remedy != nil)
                #expect((await failure { try await client.buildImage(.debian(suite: "-x")) })?.code == .invalid)
                #expect(try await client.listImages().map(\.metadata.name) == ["box", "debian", "debian:trixie"])
                #expect(try await client.image("debian").metadata.id == made.subject.metadata.id)
                #expect((await failure { try await client.image("nobody") })?.code == .notFound)
                let gone = try await client.deleteImage("box")
                #expect(gone.subject.status.state == .deleting)
                #expect(gone.operation?.spec.kind == .deleteImage)
            }
        }
    }

    @Test("what a machine stands on cannot be deleted")
    func inUse() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage()
            try await test.call { client in
                _ = try await client.createMachine(MachineRequest(image: "debian"))
                #expect((await failure { try await client.deleteImage("debian") })?.code == .conflict)
                #expect((await failure { try await client.deleteKernel("debian") })?.code == .conflict)
            }
        }
    }

    @Test("debian is imported by name, and the first kernel is the default")
    func debianKernel() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let made = try await client.importKernel(.debian, isDefault: false)
                #expect(made.subject.metadata.name == "debian")
                #expect(made.subject.spec.source == "debian")
                #expect(made.subject.spec.isDefault)
                #expect(made.operation?.spec.kind == .importKernel)
                #expect((await failure { try await client.importKernel(.debian) })?.code == .conflict)
                #expect(try await client.listKernels().map(\.metadata.name) == ["debian"])
                #expect((await failure { try await client.kernel("nobody") })?.code == .notFound)
            }
        }
    }

    @Test("a file's bytes reach the node, and the kernel's source names the spooled file")
    func fileKernel() async throws {
        try await TestServer.with { test in
            let left = Mutex(3)
            let modules = Mutex(1)
            try await test.call { client in
                let made = try await client.importKernel(
                    .file(
                        name: "linux-image-6.1.0-42-cloud-amd64_6.1.1_amd64.deb",
                        bytes: {
                            left.withLock { left in
                                defer { left -= 1 }
                                return left > 0 ? [UInt8](repeating: 7, count: 1000) : nil
                            }
                        },
                        modules: {
                            modules.withLock { left in
                                defer { left -= 1 }
                                return left > 0 ? [1, 2, 3] : nil
                            }
                        }))
                #expect(made.subject.metadata.name == "6.1.0-42-cloud-amd64")
                let token = SpoolToken(made.subject.spec.source)
                #expect(token?.token == "abc123")
                #expect(token?.name == "linux-image-6.1.0-42-cloud-amd64_6.1.1_amd64.deb")
                let default2 = try await client.setDefaultKernel("6.1.0-42-cloud-amd64")
                #expect(default2.spec.isDefault)
                #expect(try await client.deleteKernel("6.1.0-42-cloud-amd64").operation?.spec.kind == .deleteKernel)
            }
            test.gateway.state.withLock { state in
                #expect(state.spooled["abc123"]?[.kernel]?.count == 3000)
                #expect(state.spooled["abc123"]?[.modules] == [1, 2, 3])
                #expect(state.finished == ["abc123"])
                #expect(state.discarded.isEmpty)
            }
        }
    }

    @Test("a file that cannot become a kernel is not left on the node")
    func refusedFile() async throws {
        try await TestServer.with { test in
            try await test.addKernel("taken")
            let error = await failure {
                try await test.call { client in
                    try await client.importKernel(.file(name: "x", bytes: { nil }, modules: nil), name: "taken")
                }
            }
            #expect(error?.code == .conflict)
            #expect(test.gateway.state.withLock { $0.discarded } == ["abc123"])
        }
    }

    @Test("where the default kernel failed, the newest that can be used is taken")
    func brokenDefault() async throws {
        try await TestServer.with { test in
            let good = try await test.addKernel("good", isDefault: false)
            let bad = try await test.addKernel("bad")
            try await test.repositories.kernels.updateStatus(bad.metadata.id) { $0.state = .failed }
            let made = try await test.call { try await $0.createMachine(MachineRequest(image: "busybox")) }
            #expect(made.subject.spec.kernelID == good.metadata.id)
        }
    }
}

@Suite struct OperationServiceTests {
    @Test("a watch shows stored states with the node's live figures, and ends with the last")
    func watch() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            let seen = Mutex<[Operation]>([])
            let last = try await test.call { client in
                let made = try await client.createMachine(MachineRequest(image: "busybox"))
                guard let operation = made.operation else { throw CoveyError(.failure, "there is no operation") }
                let id = operation.metadata.id
                try await test.repositories.operations.updateStatus(id) { status in
                    status.state = .running
                    status.stages = [OperationStage(name: "image", state: .running)]
                }
                return try await client.finish(operation) { now in
                    seen.withLock { $0.append(now) }
                    guard now.status.state == .running, now.status.stages.first?.done == 5 else { return }
                    try await test.repositories.operations.updateStatus(id) { $0.state = .succeeded }
                }
            }
            #expect(last.status.state == .succeeded)
            let live = seen.withLock { $0 }.first { $0.status.stages.first?.done == 5 }
            #expect(live?.status.stages.first?.unit == "bytes")
            #expect(live?.status.stages.first?.total == 10)
        }
    }

    @Test("a failed operation throws its own error, a cancelled one that it was cancelled")
    func failures() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let first = try await client.buildImage(.debian(suite: ""))
                let second = try await client.buildImage(.debian(suite: "sid"))
                guard let failed = first.operation, let cancelled = second.operation else {
                    throw CoveyError(.failure, "there is no operation")
                }
                let asked = try await client.cancelOperation(cancelled.metadata.id.description)
                #expect(asked.spec.cancelRequested)
                let why = CoveyError(.exhausted, "the disk is full", remedy: "free some")
                try await test.repositories.operations.updateStatus(failed.metadata.id) { status in
                    status.state = .failed
                    status.error = why
                }
                try await test.repositories.operations.updateStatus(cancelled.metadata.id) { $0.state = .cancelled }
                #expect(await failure { try await client.finish(failed) } == why)
                #expect((await failure { try await client.finish(cancelled) })?.code == .cancelled)
                let late = await failure { try await client.cancelOperation(failed.metadata.id.description) }
                #expect(late?.code == .conflict)
                #expect(try await client.listOperations().count == 2)
                #expect(try await client.operation(failed.metadata.id.description).status.state == .failed)
                #expect((await failure { try await client.operation("nobody") }) != nil)
            }
        }
    }
}

@Suite struct MonitoringServiceTests {
    @Test("version, facts and leaks are told, and a leak can be purged once")
    func monitoring() async throws {
        try await TestServer.with { test in
            let node = Node(
                metadata: Metadata(
                    id: test.node, name: "host", tenant: "default", createdAt: Timestamp(milliseconds: 1)),
                status: NodeStatus(
                    instance: InstanceID(random: 1), architecture: .amd64, kernelRelease: "6.1", cpus: 2,
                    memory: .gibibytes(4), version: "1.2.3"))
            try await test.call { client in
                #expect(try await client.version() == test.settings.version)
                #expect((await failure { try await client.nodeFacts() })?.code == .notFound)
                _ = try await test.repositories.nodes.register(node)
                #expect(try await client.nodeFacts().status == node.status)
                #expect(try await client.leaks().map(\.id) == ["leak-1"])
                try await client.purgeLeak("leak-1")
                #expect(try await client.leaks().isEmpty)
                #expect((await failure { try await client.purgeLeak("leak-1") })?.code == .notFound)
            }
        }
    }
}
