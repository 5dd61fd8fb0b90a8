import CoveyAPI
import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import Synchronization
import Testing

@Suite struct MachineServiceTests {
    @Test("a creation resolves image and kernel and answers machine and operation")
    func creates() async throws {
        try await TestServer.with { test in
            let kernel = try await test.addKernel()
            let image = try await test.addImage()
            let made = try await test.call { client in
                var request = MachineRequest(image: "debian")
                request.name = "web"
                request.labels = ["a": "b"]
                request.cpus = 2
                request.memory = .mebibytes(512)
                return try await client.createMachine(request)
            }
            #expect(made.subject.metadata.name == "web")
            #expect(made.subject.metadata.labels == ["a": "b"])
            #expect(made.subject.spec.imageID == image.metadata.id)
            #expect(made.subject.spec.kernelID == kernel.metadata.id)
            #expect(made.subject.spec.cpus == 2)
            #expect(made.subject.spec.memory == .mebibytes(512))
            #expect(made.operation?.spec.kind == .createMachine)
            #expect(made.operation?.spec.node == test.node)
        }
    }

    @Test("busybox is made in the same request where there is no such image")
    func builtIn() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            let made = try await test.call { try await $0.createMachine(MachineRequest(image: "busybox")) }
            let image = try await test.repositories.images.get(.standard, "busybox")
            #expect(image.spec.source == .builtIn)
            #expect(made.subject.spec.imageID == image.metadata.id)
            #expect(made.subject.metadata.name.hasPrefix("busybox-"))
            let second = try await test.call { try await $0.createMachine(MachineRequest(image: "busybox")) }
            #expect(second.subject.spec.imageID == image.metadata.id)
        }
    }

    @Test("the suite's name finds what image build debian made")
    func suiteAlias() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            let image = try await test.addImage("debian")
            let made = try await test.call { try await $0.createMachine(MachineRequest(image: "debian:bookworm")) }
            #expect(made.subject.spec.imageID == image.metadata.id)
        }
    }

    @Test("what is not there is not found, with the command that makes it")
    func remedies() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let noKernel = await failure { try await client.createMachine(MachineRequest(image: "busybox")) }
                #expect(noKernel?.code == .notFound)
                #expect(noKernel?.remedy == "import one: covey kernel import debian")
                try await test.addKernel()
                let noImage = await failure { try await client.createMachine(MachineRequest(image: "debian")) }
                #expect(noImage?.code == .notFound)
                #expect(noImage?.remedy == "build it: covey image build debian")
                var request = MachineRequest(image: "busybox")
                request.kernel = "6.1"
                let other = request
                let named = await failure { try await client.createMachine(other) }
                #expect(named?.code == .notFound)
                #expect(named?.resource == ResourceReference("kernel", "6.1"))
                #expect((await failure { try await client.machine("nobody") })?.code == .notFound)
            }
            #expect(try await test.repositories.machines.list().items.isEmpty)
        }
    }

    @Test(
        "a request that can never work is refused and leaves nothing",
        arguments: [
            { @Sendable (r: inout MachineRequest) in r.name = "Not_A_Label" },
            { @Sendable (r: inout MachineRequest) in r.cpus = 0 },
            { @Sendable (r: inout MachineRequest) in r.cpus = 5 },
            { @Sendable (r: inout MachineRequest) in r.memory = .mebibytes(63) },
            { @Sendable (r: inout MachineRequest) in r.memory = .gibibytes(2048) },
            { @Sendable (r: inout MachineRequest) in r.disk = ByteCount(1) },
            { @Sendable (r: inout MachineRequest) in r.disk = .mebibytes(100) },
            { @Sendable (r: inout MachineRequest) in r.image = "../etc" },
            { @Sendable (r: inout MachineRequest) in r.labels = ["": "x"] },
            { @Sendable (r: inout MachineRequest) in r.environment = ["A=B": "x"] },
            { @Sendable (r: inout MachineRequest) in r.program = Program(arguments: []) },
            { @Sendable (r: inout MachineRequest) in r.stopTimeout = .seconds(7200) },
        ])
    func refuses(_ spoil: @Sendable (inout MachineRequest) -> Void) async throws {
        var request = MachineRequest(image: "debian")
        spoil(&request)
        let wish = request
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage()
            let error = await failure { try await test.call { try await $0.createMachine(wish) } }
            #expect(error?.code == .invalid)
            #expect(try await test.repositories.machines.list().items.isEmpty)
        }
    }

    @Test("more memory than the host has is exhausted, a foreign driver unsupported")
    func hostLimits() async throws {
        let validation = MachineValidation(
            defaults: MachineDefaults(), limits: MachineLimits(cpus: 2, memory: .gibibytes(1)))
        var request = MachineRequest(image: "busybox")
        request.memory = .gibibytes(2)
        do {
            _ = try validation.spec(request)
            Issue.record("the host has less memory")
        } catch { #expect(error.code == .exhausted) }
        let facts = [
            DriverFacts(driver: .qemu, available: true, reason: "/dev/kvm is forbidden", accelerators: [.tcg])
        ]
        do {
            try validation.check(driver: .firecracker, accel: .auto, facts: facts)
            Issue.record("firecracker is not there")
        } catch { #expect(error.code == .unsupported) }
        do {
            try validation.check(driver: nil, accel: .kvm, facts: facts)
            Issue.record("kvm does not work")
        } catch { #expect(error.message.contains("/dev/kvm is forbidden")) }
        try validation.check(driver: .qemu, accel: .tcg, facts: facts)
        let gone = [DriverFacts(driver: .qemu, available: false, reason: "qemu-system-x86_64 is not installed")]
        do {
            try validation.check(driver: nil, accel: .auto, facts: gone)
            Issue.record("there is no driver")
        } catch {
            #expect(error.remedy == "install it: apt-get install qemu-system-x86")
        }
    }

    @Test("a taken name is a conflict")
    func duplicates() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addMachine("web")
            var request = MachineRequest(image: "busybox")
            request.name = "web"
            let wish = request
            let error = await failure { try await test.call { try await $0.createMachine(wish) } }
            #expect(error?.code == .conflict)
        }
    }

    @Test("the same request id returns the first result, for something else it is a conflict")
    func repeats() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.call { client in
                let request = MachineRequest(image: "busybox")
                let first = try await client.createMachine(request, requestID: "request-1")
                let second = try await client.createMachine(request, requestID: "request-1")
                #expect(first.subject.metadata.id == second.subject.metadata.id)
                #expect(first.operation?.metadata.id == second.operation?.metadata.id)
                let name = first.subject.metadata.name
                let stop = try await client.stopMachine(name, requestID: "request-2")
                let again = try await client.stopMachine(name, requestID: "request-2")
                #expect(stop.operation?.metadata.id == again.operation?.metadata.id)
                let reused = await failure { try await client.startMachine(name, requestID: "request-2") }
                #expect(reused?.code == .conflict)
            }
            #expect(try await test.repositories.machines.list().items.count == 1)
        }
    }

    @Test("what is wanted follows start, stop, kill, restart and delete")
    func lifeCycle() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            try await test.call { client in
                let stopped = try await client.stopMachine("web", timeout: .seconds(3))
                #expect(stopped.subject.spec.wanted == .stopped)
                #expect(stopped.subject.spec.stopTimeout == .seconds(3))
                #expect(stopped.operation?.spec.kind == .stopMachine)
                #expect(try await client.stopMachine("web", force: true).operation?.spec.kind == .killMachine)
                let started = try await client.startMachine("web")
                #expect(started.subject.spec.wanted == .running)
                let restarted = try await client.restartMachine("web")
                #expect(restarted.subject.spec.restartRequest == 1)
                #expect(try await client.killMachine("web").operation?.spec.kind == .killMachine)
                let signalled = try await client.killMachine("web", signal: 1)
                #expect(signalled.operation == nil)
                #expect(test.gateway.state.withLock { $0.signals } == [1])
                let busy = await failure { try await client.deleteMachine("web") }
                #expect(busy?.code == .conflict)
                #expect(busy?.remedy?.contains("covey vm rm -f web") == true)
                let deleted = try await client.deleteMachine("web", force: true)
                #expect(deleted.subject.spec.deleting)
                #expect((await failure { try await client.startMachine("web") })?.code == .conflict)
                #expect((await failure { try await client.killMachine("web", signal: 99) })?.code == .invalid)
            }
        }
    }

    @Test("a machine is renamed while it runs, a repeat changes nothing, and a taken or bad name is refused")
    func renames() async throws {
        try await TestServer.with { test in
            let machine = try await test.addMachine("web")
            try await test.addMachine("db")
            try await test.call { client in
                let renamed = try await client.renameMachine("web", to: "shop", requestID: "r")
                #expect(renamed.metadata.name == "shop" && renamed.metadata.id == machine.metadata.id)
                #expect(renamed.metadata.generation == machine.metadata.generation + 1)
                #expect(try await client.renameMachine("web", to: "shop", requestID: "r") == renamed)
                let again = await failure { try await client.renameMachine("web", to: "shop") }
                #expect(again?.code == .notFound && again?.remedy != nil)
                let taken = await failure { try await client.renameMachine("shop", to: "db") }
                #expect(taken?.code == .conflict && taken?.message == "vm db exists already")
                for name in ["", "Shop", "a.b", "-a"] {
                    #expect((await failure { try await client.renameMachine("shop", to: name) })?.code == .invalid)
                }
                #expect((await failure { try await client.renameMachine("", to: "x") })?.code == .invalid)
                let byID = try await client.renameMachine(machine.metadata.id.description, to: "web")
                #expect(byID.metadata.name == "web")
                let all = try await client.listMachines()
                #expect(all.map(\.metadata.name) == ["db", "web"])
            }
        }
    }

    @Test("a list has all pages and selects by label")
    func lists() async throws {
        try await TestServer.with { test in
            for number in 0..<7 { try await test.addMachine("vm-\(number)") }
            try await test.call { client in
                let all = try await client.listMachines()
                #expect(all.map(\.metadata.name) == (0..<7).map { "vm-\($0)" })
                #expect(try await client.listMachines(labels: ["tier": "db"]).isEmpty)
                #expect(try await client.machine("vm-3").metadata.labels == ["tier": "web"])
            }
        }
    }

    @Test("a watch lists, follows changes and ends when its caller has seen enough")
    func watches() async throws {
        try await TestServer.with { test in
            let machine = try await test.addMachine("web", phase: .starting)
            let seen = try await test.call { client in
                try await client.watchMachines("web") { event -> MachinePhase? in
                    switch event {
                    case .synced:
                        try await test.repositories.machines.updateStatus(machine.metadata.id) { $0.phase = .running }
                        return nil
                    case .changed(let now): return now.status.phase == .running ? .running : nil
                    case .deleted: return .deleting
                    }
                }
            }
            #expect(seen == .running)
        }
    }

    @Test("a watch of one machine ends with its deletion")
    func watchesDeletion() async throws {
        try await TestServer.with { test in
            let machine = try await test.addMachine("web", phase: .stopped)
            let name = try await test.call { client in
                try await client.watchMachines("web") { event -> String? in
                    switch event {
                    case .synced:
                        try await test.repositories.machines.remove(machine.metadata.id)
                        return nil
                    case .changed: return nil
                    case .deleted(_, let name): return name
                    }
                }
            }
            #expect(name == "web")
        }
    }
}
