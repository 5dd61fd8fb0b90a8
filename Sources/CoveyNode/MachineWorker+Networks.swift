internal import CoveyGuestProtocol
package import CoveyModel
internal import CoveyNetwork
internal import CoveySystem
internal import CoveyVMM
internal import Logging

/// A machine's networks as its guest sees them.
extension MachineWorker {
    /// Domain of machines' names.
    static let domain = "vm"

    /// Interfaces, resolver and names of a guest; nil where its machine has no network.
    func guestNetwork(_ machine: VirtualMachine, _ abilities: GuestAbilities) async throws -> GuestNetwork? {
        guard !machine.spec.networks.isEmpty else { return nil }
        guard abilities.contains(.network) else {
            throw CoveyError(
                .unsupported, "the guest agent is too old to have a network", remedy: "restart the machine")
        }
        let specs = try await networks.specs(of: machine)
        return GuestNetwork(machine.metadata.name, zip(machine.spec.networks, specs).map { ($0, $1) })
    }

    /// What a machine has used. Errors: ``ErrorCode/conflict`` where it does not run.
    func figures() async throws -> MachineFigures {
        guard let active = run else {
            throw CoveyError(.conflict, "the machine does not run", remedy: "covey vm start")
        }
        var figures = MachineFigures(at: host.clock.now())
        if let vmm = active.vmm as? any MeasuredVMM {
            let used = try await vmm.figures()
            figures.cpuNanoseconds = UInt64(clamping: used.cpuTime.wholeNanoseconds)
            figures.memoryBytes = UInt64(clamping: used.residentMemory.bytes)
            figures.diskReadBytes = used.disks.reduce(0) { $0 + $1.readBytes }
            figures.diskWrittenBytes = used.disks.reduce(0) { $0 + $1.writtenBytes }
            figures.diskReads = used.disks.reduce(0) { $0 + $1.readOperations }
            figures.diskWrites = used.disks.reduce(0) { $0 + $1.writeOperations }
        }
        if let through = try await networks.figures(of: id) {
            figures.receivedBytes = through.receivedBytes
            figures.receivedPackets = through.receivedPackets
            figures.sentBytes = through.sentBytes
            figures.sentPackets = through.sentPackets
            figures.deniedPackets = through.deniedPackets
            figures.forgedPackets = through.forgedPackets
        }
        guard let session = active.session, session.hello.abilities.contains(.figures) else { return figures }
        do {
            let usage = try await withDeadline(.seconds(2), "asking the guest what it uses") {
                try await session.usage()
            }
            figures.guestMemoryTotal = UInt64(clamping: usage.memory.bytes)
            figures.guestMemoryUsed = UInt64(clamping: usage.memory.bytes - usage.available.bytes)
        } catch {
            logger.debug("the guest does not say what it uses", metadata: ["error": "\(error)"])
        }
        return figures
    }
}

extension GuestNetwork {
    /// The network of a machine: the first interface leads to all that no interface reaches, and its gateway answers
    /// names.
    init(_ name: String, _ networks: [(attachment: NetworkAttachment, spec: NetworkSpec)]) {
        self.init(searchDomains: [MachineWorker.domain])
        for (index, network) in networks.enumerated() {
            guard let mac = network.attachment.mac, let address = network.attachment.address else { continue }
            let (isFirst, spec) = (index == 0, network.spec)
            var interface = GuestInterface(
                mac: mac, addresses: [GuestAddress(.v4(address), prefix: UInt8(spec.block.length))],
                gateway: isFirst ? spec.gateway : nil, mtu: spec.mtu)
            var own: [IPAddress] = [.v4(address)]
            if let six = network.attachment.address6, let block = spec.block6 {
                interface.addresses.append(GuestAddress(.v6(six), prefix: UInt8(block.length)))
                interface.gateway6 = isFirst ? spec.gateway6 : nil
                own.append(.v6(six))
            }
            interfaces.append(interface)
            guard isFirst else { continue }
            resolvers = [.v4(spec.gateway)]
            hosts = own.map { GuestHost($0, names: ["\(name).\(MachineWorker.domain)", name]) }
        }
    }
}

extension NodeAgent {
    /// What a machine has used. Errors: ``ErrorCode/conflict`` where it does not run.
    package func figures(of machine: MachineID) async throws -> MachineFigures {
        try await runningWorker(machine).figures()
    }

    /// What the programs in a machine listen on. Errors: ``ErrorCode/conflict`` where it does not run,
    /// ``ErrorCode/unsupported`` for an agent that is too old.
    package func listeningPorts(of machine: MachineID) async throws -> [ListeningPort] {
        let session = try await runningWorker(machine).session(within: .seconds(30)).session
        guard session.hello.abilities.contains(.figures) else {
            throw CoveyError(
                .unsupported, "the guest agent is too old to say what listens", remedy: "restart the machine")
        }
        return try await session.listeningPorts()
    }
}
