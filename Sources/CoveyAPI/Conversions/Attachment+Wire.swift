package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_NetworkAttachment {
    /// The message of an interface.
    package init(_ model: NetworkAttachment) {
        self.init()
        network = model.network
        if let id = model.networkID { networkID = id.description }
        if let address = model.address { self.address = address.description }
        if let address6 = model.address6 { self.address6 = address6.description }
        if let mac = model.mac { self.mac = mac.description }
    }
}

extension NetworkAttachment {
    /// The value of a message.
    package init(_ message: Covey_V1_NetworkAttachment) throws(CoveyError) {
        self.init(network: message.network)
        if message.hasNetworkID { networkID = try NetworkID(wire: message.networkID, "network_id") }
        if message.hasAddress { address = try IPv4Address(wire: message.address, "address") }
        if message.hasAddress6 { address6 = try IPv6Address(wire: message.address6, "address6") }
        if message.hasMac { mac = try MACAddress(wire: message.mac, "mac") }
    }
}

extension Covey_V1_TrafficLimit {
    /// The message of a limit.
    package init(_ model: TrafficLimit) {
        self.init()
        if let bytes = model.bytesPerSecond { bytesPerSecond = bytes }
        if let operations = model.operationsPerSecond { operationsPerSecond = operations }
        if let burst = model.burstBytes { burstBytes = burst }
    }
}

extension TrafficLimit {
    /// The value of a message.
    package init(_ message: Covey_V1_TrafficLimit) {
        self.init(
            bytesPerSecond: message.hasBytesPerSecond ? message.bytesPerSecond : nil,
            operationsPerSecond: message.hasOperationsPerSecond ? message.operationsPerSecond : nil,
            burstBytes: message.hasBurstBytes ? message.burstBytes : nil)
    }
}

extension Covey_V1_UpdateVirtualMachineRequest {
    /// The message of a change.
    package init(_ model: MachineChange, of name: String, tenant: String, requestID: String, dryRun: Bool) {
        self.init()
        self.tenant = tenant
        self.requestID = requestID
        self.name = name
        self.dryRun = dryRun
        switch model.egress {
        case nil: break
        case .inherited: egress = ""
        case .policy(let policy): egress = policy.description
        }
        publish = model.publish.map(\.description)
        unpublish = model.unpublish.map(\.description)
        if let limit = model.networkLimit { networkLimit = Covey_V1_TrafficLimit(limit) }
        if let limit = model.diskLimit { diskLimit = Covey_V1_TrafficLimit(limit) }
        if let networks = model.networks {
            self.networks = .with { list in list.items = networks.map { Covey_V1_NetworkAttachment($0) } }
        }
    }
}

extension MachineChange {
    /// The value of a message.
    package init(_ message: Covey_V1_UpdateVirtualMachineRequest) throws(CoveyError) {
        self.init()
        if message.hasEgress {
            egress = message.egress.isEmpty ? .inherited : .policy(try EgressPolicy(wire: message.egress, "egress"))
        }
        publish = try message.publish.ports("publish")
        for text in message.unpublish {
            guard let list = HostPort.list(text) else { throw CoveyError(.invalid, "unpublish \"\(text)\" is no port") }
            unpublish += list
        }
        if message.hasNetworkLimit { networkLimit = TrafficLimit(message.networkLimit) }
        if message.hasDiskLimit { diskLimit = TrafficLimit(message.diskLimit) }
        if message.hasNetworks {
            networks = try message.networks.items.converted { item throws(CoveyError) in try NetworkAttachment(item) }
        }
    }
}

extension [String] {
    /// Ports from their texts; more than a machine can have are refused before they are counted out.
    func ports(_ field: String) throws(CoveyError) -> [PublishedPort] {
        var ports: [PublishedPort] = []
        for text in self {
            guard let list = PublishedPort.list(text) else {
                throw CoveyError(
                    .invalid, "\(field) \"\(text)\" is no published port", remedy: "write it as [BIND:]HOST:GUEST[/udp]"
                )
            }
            ports += list
            try PublishedPort.check(ports)
        }
        return ports
    }
}

extension Covey_V1_ListeningPort {
    /// The message of a port.
    package init(_ model: ListeningPort) {
        self.init()
        transport = model.transport.wire
        address = model.address.description
        port = UInt32(model.port)
        if let program = model.program { self.program = program }
        if let pid = model.pid { self.pid = pid }
    }
}

extension ListeningPort {
    /// The value of a message.
    package init(_ message: Covey_V1_ListeningPort) throws(CoveyError) {
        guard let port = UInt16(exactly: message.port) else { throw CoveyError(.invalid, "port is out of range") }
        self.init(
            transport: try TransportProtocol(wire: message.transport, "transport"),
            address: try IPAddress(wire: message.address, "address"), port: port,
            program: message.hasProgram ? message.program : nil, pid: message.hasPid ? message.pid : nil)
    }
}

extension Covey_V1_MachineUse {
    /// The message of a machine's use.
    package init(_ model: MachineUse) {
        self.init()
        id = model.id.description
        name = model.name
        if let figures = model.figures { self.figures = Covey_V1_MachineFigures(figures) }
        if let error = model.error { self.error = Covey_V1_Error(error) }
    }
}

extension MachineUse {
    /// The value of a message.
    package init(_ message: Covey_V1_MachineUse) throws(CoveyError) {
        self.init(
            id: try MachineID(wire: message.id, "id"), name: message.name,
            figures: message.hasFigures ? try MachineFigures(message.figures) : nil,
            error: message.hasError ? try CoveyError(message.error) : nil)
    }
}

extension Covey_V1_MachineFigures {
    /// The message of figures.
    package init(_ model: MachineFigures) {
        self.init()
        at = Google_Protobuf_Timestamp(model.at)
        cpuNanoseconds = model.cpuNanoseconds
        memoryBytes = model.memoryBytes
        if let total = model.guestMemoryTotal { guestMemoryTotal = total }
        if let used = model.guestMemoryUsed { guestMemoryUsed = used }
        diskReadBytes = model.diskReadBytes
        diskWrittenBytes = model.diskWrittenBytes
        diskReads = model.diskReads
        diskWrites = model.diskWrites
        receivedBytes = model.receivedBytes
        receivedPackets = model.receivedPackets
        sentBytes = model.sentBytes
        sentPackets = model.sentPackets
        deniedPackets = model.deniedPackets
        forgedPackets = model.forgedPackets
    }
}

extension MachineFigures {
    /// The value of a message.
    package init(_ message: Covey_V1_MachineFigures) throws(CoveyError) {
        self.init(at: try Timestamp(message.at))
        cpuNanoseconds = message.cpuNanoseconds
        memoryBytes = message.memoryBytes
        if message.hasGuestMemoryTotal { guestMemoryTotal = message.guestMemoryTotal }
        if message.hasGuestMemoryUsed { guestMemoryUsed = message.guestMemoryUsed }
        diskReadBytes = message.diskReadBytes
        diskWrittenBytes = message.diskWrittenBytes
        diskReads = message.diskReads
        diskWrites = message.diskWrites
        receivedBytes = message.receivedBytes
        receivedPackets = message.receivedPackets
        sentBytes = message.sentBytes
        sentPackets = message.sentPackets
        deniedPackets = message.deniedPackets
        forgedPackets = message.forgedPackets
    }
}
