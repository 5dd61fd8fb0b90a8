import CoveyAPI
import CoveyModel
import GRPCCore
import SwiftProtobuf
import Testing

@Suite struct ConversionTests {
    static let ids = IdentifierSource(time: { Timestamp(milliseconds: 1_700_000_000_123) })

    static let error = {
        var error = CoveyError(
            .outcomeUnknown, "nobody knows", remedy: "ask again", resource: ResourceReference("vm", "web"),
            retryable: false)
        error.causes = ["a", "b"]
        return error
    }()

    static let conditions = [
        Condition(
            type: "Ready", state: .yes, reason: "Answered", message: "the agent answered",
            since: Timestamp(milliseconds: 1_700_000_000_001)),
        Condition(type: "Limited", state: .no, reason: "x", message: "y", since: Timestamp(milliseconds: -1)),
        Condition(type: "Odd", state: .unknown, reason: "x", message: "y", since: Timestamp(milliseconds: 0)),
    ]

    static func metadata<Subject>(_ subject: Subject.Type = Subject.self) -> CoveyModel.Metadata<Subject> {
        CoveyModel.Metadata(
            id: ids.next(), name: "web", tenant: "team", labels: ["a": "b"],
            createdAt: Timestamp(milliseconds: 1_700_000_000_999), generation: 7, revision: 42)
    }

    static var machine: VirtualMachine {
        var spec = MachineSpec(
            image: "debian", wanted: .paused, cpus: 3, memory: .mebibytes(300), disk: .gibibytes(2), kernel: "6.1",
            driver: .cloudHypervisor, accel: .tcg, restart: .onFailure(limit: 3),
            program: Program(
                arguments: ["a", "b"], environment: ["K": "V"], workingDirectory: "/x", user: "u:g", terminal: true,
                standardInput: true),
            environment: ["E": "F"], removeWhenStopped: true, ready: .probe, stopTimeout: .milliseconds(1234))
        spec.readyProbe = Probe(
            .http(port: 80, path: "/x"), period: .seconds(2), timeout: .seconds(3), startPeriod: .seconds(4),
            failures: 5,
            successes: 6)
        spec.imageID = ids.next()
        spec.kernelID = ids.next()
        spec.volumes = [
            VolumeMount(volume: "data", volumeID: ids.next(), path: "/data", readOnly: true),
            VolumeMount(volume: "more", path: "/more"),
        ]
        spec.scratch = ScratchDisk(size: .gibibytes(3), path: "/work")
        spec.networks = [
            NetworkAttachment(
                network: "web", networkID: ids.next(), address: IPv4Address("10.83.0.5"),
                address6: IPv6Address("fd00::5"), mac: MACAddress("02:00:00:00:00:01")),
            NetworkAttachment(network: "data"),
        ]
        spec.ports = PublishedPort.list("[::1]:8080-8081:80-81/udp") ?? []
        spec.egress = EgressPolicy("*.debian.org:80,10.0.0.0/8")
        spec.networkLimit = TrafficLimit(bytesPerSecond: 1, operationsPerSecond: 2, burstBytes: 3)
        spec.diskLimit = TrafficLimit()
        spec.restartRequest = 5
        spec.startRequest = 6
        spec.forceStop = true
        spec.deleting = true
        var status = MachineStatus(phase: .unknown)
        status.node = ids.next()
        status.driver = .firecracker
        status.accel = .kvm
        status.pid = 4711
        status.runGeneration = 9
        status.observedGeneration = 6
        status.observedRestart = 4
        status.volumes = [ids.next()]
        status.addresses = ["10.0.0.2"]
        status.ports = ["8080:80"]
        status.conditions = conditions
        status.timeline = [TimelineStage(stage: "image", milliseconds: 12)]
        status.restarts = 2
        status.exitCode = -1
        status.lastEnd = .vmmDied
        status.lastError = error
        status.startedAt = Timestamp(milliseconds: 1)
        status.endedAt = Timestamp(milliseconds: 2)
        return VirtualMachine(metadata: metadata(), spec: spec, status: status)
    }

    @Test("a machine keeps every field on the wire, and so does one with none")
    func machines() throws {
        let full = Self.machine
        #expect(try VirtualMachine(Covey_V1_VirtualMachine(full)) == full)
        let bare = VirtualMachine(
            metadata: Self.metadata(), spec: MachineSpec(image: "x"), status: MachineStatus())
        #expect(try VirtualMachine(Covey_V1_VirtualMachine(bare)) == bare)
        for restart in [RestartPolicy.never, .always, .onFailure(limit: nil), .onFailure(limit: 0)] {
            #expect(try RestartPolicy(Covey_V1_RestartPolicy(restart)) == restart)
        }
    }

    @Test("figures of the disk and pruned items keep every field on the wire")
    func usage() throws {
        for kind in DiskUsage.Kind.allCases {
            let usage = DiskUsage(
                kind: kind, count: 1, size: ByteCount(2), allocated: ByteCount(3), reclaimable: ByteCount(4))
            #expect(try DiskUsage(Covey_V1_DiskUsage(usage)) == usage)
        }
        for kind in PrunedItem.Kind.allCases {
            let item = PrunedItem(kind: kind, name: "n", freed: ByteCount(5))
            #expect(try PrunedItem(Covey_V1_PrunedItem(item)) == item)
        }
    }

    @Test("images, kernels, operations and nodes keep every field on the wire")
    func others() throws {
        var imageStatus = ImageStatus(state: .failed)
        imageStatus.digest = "sha256:1"
        imageStatus.size = ByteCount(1)
        imageStatus.allocated = ByteCount(2)
        imageStatus.configuration = ImageConfiguration(
            entrypoint: ["a"], command: ["b"], environment: ["c": "d"], workingDirectory: "/e", user: "f",
            initPath: "/sbin/init")
        imageStatus.lastError = Self.error
        imageStatus.origin = ImageOrigin(
            reference: "docker.io/library/x:1", manifestDigest: "sha256:2", configurationDigest: "sha256:3",
            layers: [ImageLayer(digest: "sha256:4", size: ByteCount(5), mediaType: "t")],
            history: [ImageStep(created: "c", createdBy: "b", comment: "r", isEmpty: true), ImageStep()])
        let ids = IdentifierSource(time: { Timestamp(milliseconds: 1_700_000_000_000) })
        let sources: [ImageSpec.Source] = [
            .builtIn, .debian(suite: "sid"),
            .debian(suite: "sid", options: DebianOptions(packages: ["a"], mirror: "http://m", sshKeys: ["ssh-x y"])),
            .upload(
                name: "f", token: "abc",
                choices: ImageChoices(
                    entrypoint: [], command: ["c"], environment: ["A": "b"], workingDirectory: "/", user: "u",
                    initPath: "none")),
            .upload(name: "f", token: "abc", choices: ImageChoices()),
            .machine(id: ids.next(), name: "web", image: ids.next()),
            .registry(
                pull: RegistryPull(reference: "docker.io/library/x:1", plainHTTP: true, access: "a")),
            .catalog(catalog: "acme", name: "base", insecure: true),
        ]
        imageStatus.configuration.initSystem = .systemd
        for source in sources {
            let image = Image(
                metadata: Self.metadata(),
                spec: ImageSpec(source: source, architecture: .arm64, kernel: "6.1", tagOf: ids.next()),
                status: imageStatus)
            #expect(try Image(Covey_V1_Image(image)) == image)
        }
        var kernelStatus = KernelStatus(state: .ready)
        kernelStatus.release = "6.1"
        kernelStatus.digest = "sha256:2"
        kernelStatus.payload = "lz4"
        kernelStatus.modules = 300
        kernelStatus.drivers = KernelDriver.Presence.allCases.map { KernelDriver(name: "x", presence: $0) }
        kernelStatus.boots = ["qemu"]
        kernelStatus.allocated = ByteCount(3)
        kernelStatus.lastError = Self.error
        let kernel = Kernel(
            metadata: Self.metadata(), spec: KernelSpec(source: "debian", isDefault: true), status: kernelStatus)
        #expect(try Kernel(Covey_V1_Kernel(kernel)) == kernel)
        var volumeSpec = VolumeSpec(size: .gibibytes(2), format: .raw, source: Self.ids.next())
        volumeSpec.attachments = [
            VolumeAttachment(machine: Self.ids.next(), name: "web", path: "/data", readOnly: true)
        ]
        volumeSpec.deleting = true
        var volumeStatus = VolumeStatus(state: .failed, node: Self.ids.next())
        volumeStatus.size = .gibibytes(1)
        volumeStatus.allocated = ByteCount(5)
        volumeStatus.lastError = Self.error
        let volume = Volume(metadata: Self.metadata(), spec: volumeSpec, status: volumeStatus)
        #expect(try Volume(Covey_V1_Volume(volume)) == volume)
        var spec = OperationSpec(
            kind: .importKernel, target: ResourceReference("kernel", "k"), targetID: "id", generation: 3,
            requestID: "r", node: Self.ids.next())
        spec.cancelRequested = true
        var status = OperationStatus(state: .failed)
        status.stages = [
            OperationStage(name: "a", state: .done, done: 1, total: 2, unit: "bytes"),
            OperationStage(name: "b", state: .failed), OperationStage(name: "c", state: .pending),
            OperationStage(name: "d", state: .running),
        ]
        status.error = Self.error
        status.finishedAt = Timestamp(milliseconds: 5)
        let operation = Operation(metadata: Self.metadata(), spec: spec, status: status)
        #expect(try Operation(Covey_V1_Operation(operation)) == operation)
        let node = Node(
            metadata: Self.metadata(),
            status: NodeStatus(
                instance: InstanceID(random: 255), architecture: .arm64, kernelRelease: "6.18", cpus: 2,
                memory: .gibibytes(4), version: "1.0.0",
                drivers: [
                    DriverFacts(
                        driver: .qemu, available: true, reason: "why", version: "7.2", accelerators: [.kvm, .tcg])
                ],
                disks: [
                    DiskStrategyFacts(strategy: .reflink, available: false, reason: "why"),
                    DiskStrategyFacts(strategy: .deviceMapper, available: true, chosen: true),
                ], conditions: Self.conditions))
        #expect(try Node(Covey_V1_Node(node)) == node)
        let record = ExecRecord(
            id: "x", arguments: ["a"], running: false, exitCode: 3, startedAt: Timestamp(milliseconds: 4),
            user: "u", terminal: true)
        #expect(try ExecRecord(Covey_V1_Exec(record)) == record)
    }

    @Test("a request for a machine keeps every field on the wire")
    func requests() throws {
        var request = MachineRequest(image: "debian")
        #expect(
            try MachineRequest(Covey_V1_CreateVirtualMachineRequest(request, tenant: "t", requestID: "r")) == request)
        request.name = "web"
        request.labels = ["a": "b"]
        request.kernel = "k"
        request.cpus = 2
        request.memory = .mebibytes(100)
        request.disk = .gibibytes(1)
        request.networks = [NetworkAttachment(network: "web", address: IPv4Address("10.0.0.5"))]
        request.ports = PublishedPort.list("80-81:90-91") ?? []
        request.egress = .closed
        request.networkLimit = TrafficLimit(bytesPerSecond: 5)
        request.diskLimit = TrafficLimit(operationsPerSecond: 6)
        request.driver = .qemu
        request.accel = .tcg
        request.restart = .always
        request.program = Program(arguments: ["x"])
        request.environment = ["c": "d"]
        request.removeWhenStopped = true
        request.ready = .agent
        request.stopTimeout = .milliseconds(1500)
        request.noStart = true
        #expect(
            try MachineRequest(Covey_V1_CreateVirtualMachineRequest(request, tenant: "t", requestID: "r")) == request)
        request.networks = []
        #expect(
            try MachineRequest(Covey_V1_CreateVirtualMachineRequest(request, tenant: "t", requestID: "r")) == request)
    }

    @Test("a network, its requests and changes, and what is seen of machines keep every field on the wire")
    func networks() throws {
        let block = try #require(AddressBlock("10.83.0.0/20"))
        var spec = NetworkSpec(
            block: block, block6: AddressBlock("fd00::/64"), mtu: 1400, isolated: false, reachesHost: true,
            egress: .closed)
        spec.deleting = true
        var status = NetworkStatus()
        status.conditions = Self.conditions
        let network = Network(metadata: Self.metadata(), spec: spec, status: status)
        #expect(try Network(Covey_V1_Network(network)) == network)
        let bare = Network(metadata: Self.metadata(), spec: NetworkSpec(block: block), status: NetworkStatus())
        #expect(try Network(Covey_V1_Network(bare)) == bare)
        for request in [
            NetworkRequest(name: "a"),
            NetworkRequest(
                name: "a", labels: ["b": "c"], block: block, block6: .auto, mtu: 1280, isolated: false,
                reachesHost: true, egress: .closed),
        ] {
            #expect(
                try NetworkRequest(Covey_V1_CreateNetworkRequest(request, tenant: "t", requestID: "r")) == request)
        }
        var change = NetworkChange()
        let none = Covey_V1_UpdateNetworkRequest(change, of: "a", tenant: "t", requestID: "r")
        #expect(try NetworkChange(none) == change)
        change.mtu = 1400
        change.isolated = false
        change.reachesHost = false
        change.egress = .closed
        let all = Covey_V1_UpdateNetworkRequest(change, of: "a", tenant: "t", requestID: "r")
        #expect(try NetworkChange(all) == change)
        var figures = MachineFigures(at: Timestamp(milliseconds: 7))
        figures.guestMemoryTotal = 1
        figures.forgedPackets = 2
        let use = MachineUse(id: Self.ids.next(), name: "web", figures: figures, error: Self.error)
        #expect(try MachineUse(Covey_V1_MachineUse(use)) == use)
    }

    @Test("a change of a machine keeps every field on the wire")
    func changes() throws {
        func there(_ change: MachineChange) throws -> MachineChange {
            try MachineChange(
                Covey_V1_UpdateVirtualMachineRequest(change, of: "a", tenant: "t", requestID: "r", dryRun: false))
        }
        var change = MachineChange()
        #expect(try there(change) == change)
        for egress in [EgressChoice.inherited, .policy(.closed)] {
            change.egress = egress
            change.publish = PublishedPort.list("80:90/udp") ?? []
            change.unpublish = HostPort.list("[::1]:80-81/udp") ?? []
            change.networkLimit = TrafficLimit()
            change.diskLimit = TrafficLimit(bytesPerSecond: 5)
            change.networks = [NetworkAttachment(network: "web")]
            #expect(try there(change) == change)
            change.networks = []
            #expect(try there(change) == change)
        }
    }

    @Test("every case of every enumeration has its own counterpart, and none is unspecified")
    func enumerations() throws {
        func check<Value: WireEnumeration & Hashable>(_ type: Value.Type) throws where Value.Wire: CaseIterable {
            var seen: Set<Int> = [0]
            for value in Value.every {
                #expect(seen.insert(value.wire.rawValue).inserted)
                #expect(try Value(wire: value.wire, "field") == value)
            }
            #expect(seen.count == Value.Wire.allCases.count, "\(type)")
        }
        try check(ErrorCode.self)
        try check(Condition.State.self)
        try check(Architecture.self)
        try check(ArtifactState.self)
        try check(DriverName.self)
        try check(Accelerator.self)
        try check(TransportProtocol.self)
        try check(WantedState.self)
        try check(MachinePhase.self)
        try check(ReadyCheck.self)
        try check(RunEnd.self)
        try check(OperationKind.self)
        try check(OperationState.self)
        try check(OperationStage.State.self)
        try check(LogStream.self)
    }

    @Test("an unknown enumeration value is an error that names the field")
    func unknownValues() throws {
        var message = Covey_V1_VirtualMachine(Self.machine)
        message.status.phase = .UNRECOGNIZED(99)
        do {
            _ = try VirtualMachine(message)
            Issue.record("99 is no phase")
        } catch {
            #expect(error.code == .invalid)
            #expect(error.message == "status.phase has the unknown value 99")
            #expect(error.remedy != nil)
        }
        message.status.phase = .unspecified
        #expect(throws: CoveyError.self) { try VirtualMachine(message) }
    }

    @Test("every error travels in a status without loss", arguments: ErrorCode.allCases)
    func errors(_ code: ErrorCode) {
        var error = Self.error
        error.code = code
        let status = RPCError(error.rpcStatus)
        #expect(status.code == code.rpcCode)
        #expect(CoveyError(status) == error)
    }

    @Test("codes do not share a status, and a status of another origin is read by its code")
    func codes() {
        #expect(Set(ErrorCode.allCases.map(\.rpcCode)).count == ErrorCode.allCases.count)
        #expect(CoveyError(RPCError(code: .alreadyExists, message: "x")).code == .conflict)
        #expect(CoveyError(RPCError(code: .deadlineExceeded, message: "")).code == .deadline)
    }
}
