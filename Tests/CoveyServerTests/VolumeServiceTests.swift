import CoveyAPI
import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import Testing

extension TestServer {
    /// A volume that can be used.
    @discardableResult
    fileprivate func addVolume(_ name: String = "data", format: VolumeFormat = .ext4) async throws -> Volume {
        let volume = try await repositories.volumes.create(
            .standard, name: name, spec: VolumeSpec(size: .gibibytes(1), format: format), node: node,
            requestID: "volume-\(name)"
        ).volume
        return try await repositories.volumes.updateStatus(volume.metadata.id) { status in
            status.state = .ready
            status.size = .gibibytes(1)
        }
    }
}

@Suite struct VolumeServiceTests {
    @Test("a volume is asked for, found, listed, grown and deleted; the same request makes one")
    func life() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let made = try await client.createVolume("data", size: ByteCount(100 << 20 | 1), requestID: "r1")
                #expect(made.subject.spec.size == .mebibytes(101))
                #expect(made.operation?.spec.kind == .createVolume)
                let again = try await client.createVolume("data", size: ByteCount(100 << 20 | 1), requestID: "r1")
                #expect(again.subject.metadata.id == made.subject.metadata.id)
                #expect(
                    (await failure { try await client.createVolume("data", size: .gibibytes(1)) })?.code == .conflict)
                #expect(try await client.listVolumes().map(\.metadata.name) == ["data"])
                #expect(try await client.resizeVolume("data", to: .gibibytes(1)).subject.spec.size == .gibibytes(1))
                let shrink = await failure { try await client.resizeVolume("data", to: .mebibytes(64)) }
                #expect(shrink?.code == .invalid && shrink?.remedy != nil)
                #expect(try await client.deleteVolume("data").subject.spec.deleting)
                let missing = await failure { try await client.volume("nobody") }
                #expect(missing?.code == .notFound)
                #expect(missing?.remedy?.contains("covey volume create nobody") == true)
            }
        }
    }

    @Test(
        "a size or a name that cannot be is invalid, with what would do",
        arguments: [("data", 0), ("data", -5), ("data", 1 << 20), ("data", .max), ("Data_1", 1 << 30), ("", 1 << 30)]
            as [(String, Int64)])
    func bad(_ name: String, _ size: Int64) async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let error = await failure { try await client.createVolume(name, size: ByteCount(size)) }
                #expect(error?.code == .invalid && error?.remedy != nil)
                let volumes = try await client.listVolumes()
                #expect(volumes.isEmpty)
            }
        }
    }

    @Test("a machine is made with volumes and scratch, and both sides show it")
    func machine() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage()
            let volume = try await test.addVolume()
            try await test.call { client in
                var request = MachineRequest(image: "debian")
                request.name = "web"
                request.volumes = [VolumeMount(volume: "data", path: "/var/lib/data/")]
                request.scratch = ScratchDisk(size: .gibibytes(1))
                let spec = try await client.createMachine(request).subject.spec
                #expect(
                    spec.volumes == [
                        VolumeMount(volume: "data", volumeID: volume.metadata.id, path: "/var/lib/data")
                    ])
                #expect(spec.scratch == ScratchDisk(size: .gibibytes(1), path: "/scratch"))
                let users = try await client.volume("data").spec.attachments
                #expect(users.map(\.name) == ["web"] && users.map(\.path) == ["/var/lib/data"])
                request.name = "other"
                let error = await failure { try await client.createMachine(request) }
                #expect(error?.code == .conflict)
                #expect(error?.message.contains("attached to vm web") == true)
                #expect(error?.remedy?.contains("covey volume detach data web") == true)
            }
        }
    }

    @Test(
        "a path that cannot be is invalid",
        arguments: [
            "data", "", "/", "/data/../etc", "/da//ta", "/proc/x", "/dev", "/run", "/run/covey/tools", "/lib/modules",
            "/a b", "/a\nb", "/dev/shm", "/\(String(repeating: "x", count: 300))",
        ])
    func paths(_ path: String) async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage()
            try await test.addVolume()
            try await test.addMachine("web", phase: .stopped)
            try await test.call { client in
                let attached = await failure {
                    try await client.attachVolume("data", to: "web", at: path, readOnly: false)
                }
                #expect(attached?.code == .invalid, "\(path)")
                var request = MachineRequest(image: "debian")
                request.volumes = [VolumeMount(volume: "data", path: path)]
                #expect((await failure { try await client.createMachine(request) })?.code == .invalid, "\(path)")
                let volume = try await client.volume("data")
                #expect(volume.spec.attachments.isEmpty)
            }
        }
    }

    @Test("one path twice, one volume twice, a volume that is not there and an absurd scratch disk are refused")
    func combinations() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage()
            let volume = try await test.addVolume()
            try await test.addVolume("raw", format: .raw)
            try await test.call { client in
                func code(_ mounts: [(String, String)], _ scratch: ScratchDisk? = nil) async -> ErrorCode? {
                    var request = MachineRequest(image: "debian")
                    request.volumes = mounts.map { VolumeMount(volume: $0.0, path: $0.1) }
                    request.scratch = scratch
                    return await failure { try await client.createMachine(request) }?.code
                }
                #expect(await code([("data", "/a"), ("raw", "/a/")]) == .invalid)
                #expect(await code([("data", "/a"), ("data", "/b")]) == .invalid)
                #expect(await code([("data", "/a"), (volume.metadata.id.description, "/b")]) == .invalid)
                #expect(await code([("nobody", "/a")]) == .notFound)
                #expect(await code([("data", "/scratch")], ScratchDisk(size: .gibibytes(1))) == .invalid)
                #expect(await code([], ScratchDisk(size: ByteCount(0))) == .invalid)
                #expect(await code([], ScratchDisk(size: .gibibytes(1), path: "relative")) == .invalid)
                #expect(await code((0..<20).map { ("v\($0)", "/v\($0)") }) == .invalid)
                let machines = try await client.listMachines()
                #expect(machines.isEmpty)
                #expect(await code([("raw", "/dev/raw")]) == nil)
            }
        }
    }

    @Test("a volume is attached and detached; to a machine that runs it comes at the next start")
    func attaching() async throws {
        try await TestServer.with { test in
            let volume = try await test.addVolume()
            try await test.addMachine("web")
            try await test.call { client in
                let both = try await client.attachVolume("data", to: "web", at: "/data", readOnly: true)
                #expect(both.machine.spec.volumes.map(\.readOnly) == [true])
                #expect(both.volume.spec.attachments.count == 1)
                let deleted = await failure { try await client.deleteVolume("data") }
                #expect(deleted?.code == .conflict)
                #expect(deleted?.message.contains("vm web") == true)
                let machine = try await client.machine("web")
                try await test.repositories.machines.updateStatus(machine.metadata.id) { status in
                    status.volumes = [volume.metadata.id]
                }
                let busy = await failure { try await client.detachVolume("data", from: "web") }
                #expect(busy?.code == .conflict)
                #expect(busy?.remedy?.contains("covey vm stop web") == true)
                try await test.repositories.machines.updateStatus(machine.metadata.id) { $0.phase = .stopped }
                #expect(try await client.detachVolume("data", from: "web").machine.spec.volumes.isEmpty)
                #expect((await failure { try await client.detachVolume("data", from: "web") })?.code == .notFound)
                #expect((await failure { try await client.detachVolume("data", from: "no") })?.code == .notFound)
            }
        }
    }

    @Test("a copy is a volume of the same kind that remembers its source, and keeps the source from being deleted")
    func snapshot() async throws {
        try await TestServer.with { test in
            let volume = try await test.addVolume(format: .raw)
            try await test.call { client in
                let copy = try await client.snapshotVolume("data", as: "copy")
                #expect(copy.subject.spec.source == volume.metadata.id && copy.subject.spec.format == .raw)
                #expect((await failure { try await client.deleteVolume("data") })?.code == .conflict)
                #expect((await failure { try await client.snapshotVolume("copy", as: "third") })?.code == .conflict)
                #expect((await failure { try await client.snapshotVolume("data", as: "No") })?.code == .invalid)
                #expect((await failure { try await client.snapshotVolume("data", as: "copy") })?.code == .conflict)
            }
        }
    }
}
