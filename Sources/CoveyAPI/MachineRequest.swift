package import CoveyModel
internal import SwiftProtobuf

/// What a caller asks of a new machine; what is nil is the daemon's to choose.
package struct MachineRequest: Hashable, Sendable {
    /// A DNS label; nil lets the daemon choose.
    package var name: String?
    /// Free labels.
    package var labels: [String: String] = [:]
    /// The image's name.
    package var image: String
    /// The kernel's name; nil is the default.
    package var kernel: String?
    /// Virtual CPUs.
    package var cpus: Int?
    /// Memory.
    package var memory: ByteCount?
    /// Size of the root disk; nil is the image's.
    package var disk: ByteCount?
    /// Volumes, in the order in which the machine sees them.
    package var volumes: [VolumeMount] = []
    /// A disk of its own for passing work.
    package var scratch: ScratchDisk?
    /// Interfaces, in the order in which the machine sees them; nil is the tenant's default network, where the node can
    /// carry networks, and empty none.
    package var networks: [NetworkAttachment]?
    /// Ports of the host that lead to the first interface.
    package var ports: [PublishedPort] = []
    /// What it reaches outside; nil is what its networks say.
    package var egress: EgressPolicy?
    /// What each interface may send, and as much receive.
    package var networkLimit: TrafficLimit?
    /// What each disk may read and write.
    package var diskLimit: TrafficLimit?
    /// The VMM.
    package var driver: DriverName?
    /// The accelerator.
    package var accel: Accelerator?
    /// What happens after a crash; nil is never.
    package var restart: RestartPolicy?
    /// The machine's program.
    package var program: Program?
    /// Environment of every program.
    package var environment: [String: String] = [:]
    /// Whether the daemon deletes it when it has stopped.
    package var removeWhenStopped = false
    /// When it counts as ready; nil is when what the image runs is up.
    package var ready: ReadyCheck?
    /// The probe, where ``ready`` is ``ReadyCheck/probe``.
    package var readyProbe: Probe?
    /// How long a stop may take before it is forced.
    package var stopTimeout: Duration?
    /// Whether it is only made and not started.
    package var noStart = false

    /// A request for a machine from an image.
    package init(image: String) { self.image = image }
}

extension Covey_V1_CreateVirtualMachineRequest {
    /// The message of a request.
    package init(_ model: MachineRequest, tenant: String, requestID: String) {
        self.init()
        self.tenant = tenant
        self.requestID = requestID
        if let name = model.name { self.name = name }
        labels = model.labels
        image = model.image
        if let kernel = model.kernel { self.kernel = kernel }
        if let cpus = model.cpus { self.cpus = Int64(cpus) }
        if let memory = model.memory { memoryBytes = memory.bytes }
        if let disk = model.disk { diskBytes = disk.bytes }
        volumes = model.volumes.map { Covey_V1_VolumeMount($0) }
        if let scratch = model.scratch { self.scratch = Covey_V1_ScratchDisk(scratch) }
        networks = (model.networks ?? []).map { Covey_V1_NetworkAttachment($0) }
        noNetwork = model.networks == []
        ports = model.ports.map(\.description)
        if let egress = model.egress { self.egress = egress.description }
        if let limit = model.networkLimit { networkLimit = Covey_V1_TrafficLimit(limit) }
        if let limit = model.diskLimit { diskLimit = Covey_V1_TrafficLimit(limit) }
        driver = model.driver.wire
        accel = model.accel.wire
        if let restart = model.restart { self.restart = Covey_V1_RestartPolicy(restart) }
        if let program = model.program { self.program = Covey_V1_Program(program) }
        environment = model.environment
        removeWhenStopped = model.removeWhenStopped
        ready = model.ready.wire
        if let probe = model.readyProbe { readyProbe = Covey_V1_Probe(probe) }
        if let limit = model.stopTimeout {
            stopTimeout = Google_Protobuf_Duration(milliseconds: limit.wholeMilliseconds)
        }
        noStart = model.noStart
    }
}

extension MachineRequest {
    /// The value of a message.
    package init(_ message: Covey_V1_CreateVirtualMachineRequest) throws(CoveyError) {
        self.init(image: message.image)
        if message.hasName { name = message.name }
        labels = message.labels
        if message.hasKernel { kernel = message.kernel }
        if message.hasCpus { cpus = try Int(wire: message.cpus, "cpus") }
        if message.hasMemoryBytes { memory = ByteCount(message.memoryBytes) }
        if message.hasDiskBytes { disk = ByteCount(message.diskBytes) }
        volumes = try message.volumes.converted { mount throws(CoveyError) in try VolumeMount(mount) }
        if message.hasScratch { scratch = ScratchDisk(message.scratch) }
        let networks = try message.networks.converted { item throws(CoveyError) in try NetworkAttachment(item) }
        guard networks.isEmpty || !message.noNetwork else {
            throw CoveyError(.invalid, "no_network is set, and there are networks", remedy: "leave one of them out")
        }
        self.networks = networks.isEmpty && !message.noNetwork ? nil : networks
        ports = try message.ports.ports("ports")
        if message.hasEgress { egress = try EgressPolicy(wire: message.egress, "egress") }
        if message.hasNetworkLimit { networkLimit = TrafficLimit(message.networkLimit) }
        if message.hasDiskLimit { diskLimit = TrafficLimit(message.diskLimit) }
        driver = try DriverName.optional(message.driver, "driver")
        accel = try Accelerator.optional(message.accel, "accel")
        if message.hasRestart { restart = try RestartPolicy(message.restart) }
        if message.hasProgram { program = Program(message.program) }
        environment = message.environment
        removeWhenStopped = message.removeWhenStopped
        ready = try ReadyCheck.optional(message.ready, "ready")
        if message.hasReadyProbe { readyProbe = try Probe(message.readyProbe, "ready_probe") }
        if message.hasStopTimeout {
            stopTimeout = .milliseconds(try message.stopTimeout.milliseconds("stop_timeout"))
        }
        noStart = message.noStart
    }
}
