package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_RestartPolicy {
    /// The message of a policy.
    package init(_ model: RestartPolicy) {
        self.init()
        switch model {
        case .never: mode = .never
        case .onFailure(let limit):
            mode = .onFailure
            if let limit { self.limit = Int64(limit) }
        case .always: mode = .always
        }
    }
}

extension RestartPolicy {
    /// The value of a message.
    package init(_ message: Covey_V1_RestartPolicy) throws(CoveyError) {
        switch message.mode {
        case .never: self = .never
        case .always: self = .always
        case .onFailure:
            guard !message.hasLimit || message.limit >= 0 else {
                throw CoveyError(.invalid, "restart.limit is negative")
            }
            self = .onFailure(limit: message.hasLimit ? try Int(wire: message.limit, "restart.limit") : nil)
        case .unspecified: throw CoveyError(.invalid, "restart.mode is not given")
        case .UNRECOGNIZED(let value):
            throw CoveyError(
                .invalid, "restart.mode has the unknown value \(value)",
                remedy: "use a client and a daemon of the same version")
        }
    }
}

extension Covey_V1_Program {
    /// The message of a program.
    package init(_ model: Program) {
        self.init()
        arguments = model.arguments
        environment = model.environment
        if let folder = model.workingDirectory { workingDirectory = folder }
        if let user = model.user { self.user = user }
        terminal = model.terminal
        standardInput = model.standardInput
    }
}

extension Program {
    /// The value of a message.
    package init(_ message: Covey_V1_Program) {
        self.init(
            arguments: message.arguments, environment: message.environment,
            workingDirectory: message.hasWorkingDirectory ? message.workingDirectory : nil,
            user: message.hasUser ? message.user : nil, terminal: message.terminal,
            standardInput: message.standardInput)
    }
}

extension Covey_V1_MachineSpec {
    /// The message of a spec.
    package init(_ model: MachineSpec) {
        self.init()
        wanted = model.wanted.wire
        image = model.image
        if let id = model.imageID { imageID = id.description }
        if let kernel = model.kernel { self.kernel = kernel }
        if let id = model.kernelID { kernelID = id.description }
        cpus = Int64(model.cpus)
        memoryBytes = model.memory.bytes
        if let disk = model.disk { diskBytes = disk.bytes }
        volumes = model.volumes.map { Covey_V1_VolumeMount($0) }
        if let scratch = model.scratch { self.scratch = Covey_V1_ScratchDisk(scratch) }
        networks = model.networks.map { Covey_V1_NetworkAttachment($0) }
        ports = model.ports.map(\.description)
        if let egress = model.egress { self.egress = egress.description }
        if let limit = model.networkLimit { networkLimit = Covey_V1_TrafficLimit(limit) }
        if let limit = model.diskLimit { diskLimit = Covey_V1_TrafficLimit(limit) }
        driver = model.driver.wire
        accel = model.accel.wire
        restart = Covey_V1_RestartPolicy(model.restart)
        if let program = model.program { self.program = Covey_V1_Program(program) }
        environment = model.environment
        removeWhenStopped = model.removeWhenStopped
        ready = model.ready.wire
        if let probe = model.readyProbe { readyProbe = Covey_V1_Probe(probe) }
        stopTimeoutMilliseconds = model.stopTimeoutMilliseconds
        restartRequest = model.restartRequest
        forceStop = model.forceStop
        startRequest = model.startRequest
        deleting = model.deleting
    }
}

extension MachineSpec {
    /// The value of a message.
    package init(_ message: Covey_V1_MachineSpec) throws(CoveyError) {
        self.init(
            image: message.image, wanted: try WantedState(wire: message.wanted, "spec.wanted"),
            cpus: try Int(wire: message.cpus, "spec.cpus"), memory: ByteCount(message.memoryBytes),
            disk: message.hasDiskBytes ? ByteCount(message.diskBytes) : nil,
            kernel: message.hasKernel ? message.kernel : nil,
            driver: try DriverName.optional(message.driver, "spec.driver"),
            accel: try Accelerator(wire: message.accel, "spec.accel"), restart: try RestartPolicy(message.restart),
            program: message.hasProgram ? Program(message.program) : nil, environment: message.environment,
            removeWhenStopped: message.removeWhenStopped, ready: try ReadyCheck(wire: message.ready, "spec.ready"))
        if message.hasImageID { imageID = try ImageID(wire: message.imageID, "spec.image_id") }
        if message.hasKernelID { kernelID = try KernelID(wire: message.kernelID, "spec.kernel_id") }
        volumes = try message.volumes.converted { mount throws(CoveyError) in try VolumeMount(mount) }
        if message.hasScratch { scratch = ScratchDisk(message.scratch) }
        networks = try message.networks.converted { item throws(CoveyError) in try NetworkAttachment(item) }
        ports = try message.ports.ports("spec.ports")
        if message.hasEgress { egress = try EgressPolicy(wire: message.egress, "spec.egress") }
        if message.hasNetworkLimit { networkLimit = TrafficLimit(message.networkLimit) }
        if message.hasDiskLimit { diskLimit = TrafficLimit(message.diskLimit) }
        if message.hasReadyProbe { readyProbe = try Probe(message.readyProbe, "spec.ready_probe") }
        stopTimeoutMilliseconds = message.stopTimeoutMilliseconds
        restartRequest = message.restartRequest
        forceStop = message.forceStop
        startRequest = message.startRequest
        deleting = message.deleting
    }
}

extension Covey_V1_MachineStatus {
    /// The message of a status.
    package init(_ model: MachineStatus) {
        self.init()
        phase = model.phase.wire
        if let node = model.node { self.node = node.description }
        driver = model.driver.wire
        accel = model.accel.wire
        if let pid = model.pid { self.pid = pid }
        runGeneration = model.runGeneration
        observedGeneration = model.observedGeneration
        observedRestart = model.observedRestart
        observedStart = model.observedStart
        volumes = model.volumes.map(\.description)
        addresses = model.addresses
        ports = model.ports
        conditions = model.conditions.map { Covey_V1_Condition($0) }
        timeline = model.timeline.map { stage in
            .with {
                $0.stage = stage.stage
                $0.milliseconds = stage.milliseconds
            }
        }
        restarts = Int64(model.restarts)
        if let exitCode = model.exitCode { self.exitCode = exitCode }
        lastEnd = model.lastEnd.wire
        if let error = model.lastError { lastError = Covey_V1_Error(error) }
        if let instant = model.startedAt { startedAt = Google_Protobuf_Timestamp(instant) }
        if let instant = model.endedAt { endedAt = Google_Protobuf_Timestamp(instant) }
        if let key = model.sshHostKey { sshHostKey = key }
    }
}

extension MachineStatus {
    /// The value of a message.
    package init(_ message: Covey_V1_MachineStatus) throws(CoveyError) {
        self.init(phase: try MachinePhase(wire: message.phase, "status.phase"))
        if message.hasNode { node = try NodeID(wire: message.node, "status.node") }
        driver = try DriverName.optional(message.driver, "status.driver")
        accel = try Accelerator.optional(message.accel, "status.accel")
        if message.hasPid { pid = message.pid }
        runGeneration = message.runGeneration
        observedGeneration = message.observedGeneration
        observedRestart = message.observedRestart
        observedStart = message.observedStart
        volumes = try message.volumes.converted { id throws(CoveyError) in try VolumeID(wire: id, "status.volumes") }
        addresses = message.addresses
        ports = message.ports
        conditions = try message.conditions.converted { condition throws(CoveyError) in try Condition(condition) }
        timeline = message.timeline.map { TimelineStage(stage: $0.stage, milliseconds: $0.milliseconds) }
        restarts = try Int(wire: message.restarts, "status.restarts")
        if message.hasExitCode { exitCode = message.exitCode }
        lastEnd = try RunEnd.optional(message.lastEnd, "status.last_end")
        if message.hasLastError { lastError = try CoveyError(message.lastError) }
        if message.hasStartedAt { startedAt = try Timestamp(message.startedAt) }
        if message.hasEndedAt { endedAt = try Timestamp(message.endedAt) }
        if message.hasSshHostKey { sshHostKey = message.sshHostKey }
    }
}

extension Covey_V1_VirtualMachine {
    /// The message of a machine.
    package init(_ model: VirtualMachine) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        spec = Covey_V1_MachineSpec(model.spec)
        status = Covey_V1_MachineStatus(model.status)
    }
}

extension VirtualMachine {
    /// The value of a message.
    package init(_ message: Covey_V1_VirtualMachine) throws(CoveyError) {
        self.init(
            metadata: try Metadata(message.metadata), spec: try MachineSpec(message.spec),
            status: try MachineStatus(message.status))
    }
}

extension Array {
    /// Each element converted, with the closure's own error type.
    package func converted<Result>(
        _ body: (Element) throws(CoveyError) -> Result
    ) throws(CoveyError) -> [Result] {
        var results: [Result] = []
        results.reserveCapacity(count)
        for element in self { results.append(try body(element)) }
        return results
    }
}
