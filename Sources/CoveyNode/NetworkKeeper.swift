internal import CoveyModel
internal import CoveyNetwork
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging

/// Keeps what the host carries of networks as the machines of this node need it: the only caller of
/// ``NetworkHost/apply(_:)``.
///
/// A machine is carried from before its VMM starts until its run is cleaned up. What a network or a machine says is
/// followed while they run.
actor NetworkKeeper {
    private let base: MachineHost
    private let node: NodeID
    private let repositories: Repositories
    private let host: any NetworkHost
    private let names: any NameService
    private let clock: NodeClock
    private let logger: Logger
    private let user: @Sendable (Int) -> UInt32

    /// Networks that were seen.
    private var networks: [NetworkID: Network] = [:]
    /// Interfaces of machines that have a run.
    private var carried: [MachineID: [HostedInterface]] = [:]
    /// Interfaces of every machine of this node: their names are answered also when they do not run.
    private var named: [MachineID: [HostedInterface]] = [:]
    /// Whether it is known which machines have a run: before that nothing may be taken away.
    private var isSettled = false
    /// What the host could not carry.
    private var problems: [NetworkProblem] = []
    /// What was said of the node last.
    private var said: [String] = []
    /// Packets that were refused when they were last looked at.
    private var denied: [MachineID: UInt64] = [:]

    /// What the host carries, as far as is known; nil where it has to be looked at again.
    private var held: NetworkState?
    /// What is being applied.
    private var round: Task<Void, any Error>?
    private var changes: UInt64 = 0
    private var applied: UInt64 = 0

    /// How long the host may take for one state.
    private static let limit = Duration.seconds(30)
    /// How often the host is looked at though nothing has changed: somebody may have taken a link away.
    private static let interval = Duration.seconds(20)

    init(_ host: MachineHost) {
        base = host
        node = host.node
        repositories = host.repositories
        self.host = host.network
        names = host.names
        clock = host.clock
        logger = host.logger
        user = { host.user(slot: $0) }
    }

    // MARK: What workers ask for

    /// Makes the host carry a machine's interfaces. Returns their taps, in the machine's order.
    ///
    /// Errors: ``ErrorCode/notFound`` for a network that is gone, ``ErrorCode/conflict`` for a port that somebody has,
    /// and what the host says.
    func carry(_ machine: VirtualMachine) async throws -> [InterfacePlan] {
        let id = machine.metadata.id
        guard !machine.spec.networks.isEmpty else { return [] }
        for attachment in machine.spec.networks {
            guard let network = attachment.networkID else {
                throw CoveyError(.internalError, "network \(attachment.network) was not resolved")
            }
            if networks[network] == nil { networks[network] = try await repositories.networks.get(network) }
        }
        let interfaces = try await interfaces(of: machine)
        carried[id] = interfaces
        changes += 1
        do {
            try await settle()
            let mine = Set(interfaces.map(\.key))
            if let problem = problems.first(where: { $0.key.map(mine.contains) ?? false }) { throw problem.error }
            let ids = Set(interfaces.map(\.network))
            if let problem = problems.first(where: { $0.key == nil && ids.contains($0.network) }) {
                throw problem.error
            }
            var result: [InterfacePlan] = []
            for interface in interfaces {
                guard let tap = await host.tap(interface.key), let network = networks[interface.network] else {
                    throw CoveyError(
                        .unavailable,
                        "the host has no tap for interface \(interface.key.index) of vm \(interface.name)",
                        retryable: true)
                }
                result.append(InterfacePlan(tap: tap, mac: interface.mac, mtu: network.spec.mtu))
            }
            return result
        } catch {
            await release(id)
            throw error
        }
    }

    /// Takes a machine's interfaces from the host; idempotent. A host that refuses keeps no machine from being removed:
    /// it is said on the node, and the next look takes away what is left.
    func release(_ id: MachineID) async {
        carried[id] = nil
        denied[id] = nil
        guard state != held else { return }
        changes += 1
        await settleOrSay()
    }

    /// What a machine's networks are, in the machine's order.
    func specs(of machine: VirtualMachine) async throws -> [NetworkSpec] {
        var specs: [NetworkSpec] = []
        for attachment in machine.spec.networks {
            guard let id = attachment.networkID else { continue }
            if let known = networks[id] {
                specs.append(known.spec)
            } else {
                specs.append(try await repositories.networks.get(id).spec)
            }
        }
        return specs
    }

    /// What went through a machine's interfaces since they were made; nil where it has none.
    func figures(of id: MachineID) async throws -> InterfaceFigures? {
        guard let interfaces = carried[id] else { return nil }
        let all = try await host.figures()
        return interfaces.compactMap { all[$0.key] }.reduce(into: InterfaceFigures()) { sum, one in
            sum.receivedBytes += one.receivedBytes
            sum.receivedPackets += one.receivedPackets
            sum.sentBytes += one.sentBytes
            sum.sentPackets += one.sentPackets
            sum.deniedPackets += one.deniedPackets
            sum.forgedPackets += one.forgedPackets
        }
    }

    // MARK: What the store says

    /// The node's machines as they were listed: from here on it is known what has to stay.
    func listed(_ machines: [VirtualMachine]) async {
        for machine in machines {
            await note(machine)
            if machine.status.hasRun, carried[machine.metadata.id] == nil {
                carried[machine.metadata.id] = named[machine.metadata.id]
            }
        }
        isSettled = true
        changes += 1
        await settleOrSay()
    }

    /// A machine has changed, or is new.
    func changed(_ machine: VirtualMachine) async {
        let id = machine.metadata.id
        let before = (named[id], carried[id])
        await note(machine)
        if carried[id] != nil, let interfaces = named[id] { carried[id] = interfaces }
        guard before.0 != named[id] || before.1 != carried[id] else { return }
        changes += 1
        await settleOrSay()
    }

    /// A machine is gone.
    func removed(_ id: MachineID) async {
        guard named.removeValue(forKey: id) != nil else { return }
        changes += 1
        await settleOrSay()
    }

    private func note(_ machine: VirtualMachine) async {
        let id = machine.metadata.id
        guard !machine.spec.networks.isEmpty, !machine.spec.deleting else {
            named[id] = nil
            return
        }
        do {
            named[id] = try await interfaces(of: machine)
        } catch {
            logger.error("a machine's interfaces are not known", metadata: ["vm": "\(id)", "error": "\(error)"])
        }
    }

    /// Follows networks, serves names, and looks at the host now and then, until it is cancelled.
    func run() async throws {
        try await withThrowingTaskGroup { group in
            group.addTask { try await self.names.run() }
            group.addTask { try await self.followNetworks() }
            group.addTask { try await self.lookRegularly() }
            try await group.waitForAll()
        }
    }

    private func followNetworks() async throws {
        try await base.follow(repositories.networks.watch()) { change in
            switch change {
            case .listed(let listing):
                networks = Dictionary(uniqueKeysWithValues: listing.items.map { ($0.metadata.id, $0) })
            case .updated(let network): networks[network.metadata.id] = network
            case .removed(let id): networks[id] = nil
            case .setAside: return
            }
            changes += 1
            await settleOrSay()
        }
    }

    private func lookRegularly() async throws {
        await sayOnNode()
        while true {
            try await clock.sleep(NetworkKeeper.interval)
            guard !carried.isEmpty || held != state else { continue }
            held = nil
            changes += 1
            await settleOrSay()
            await sayOnNode()
            await sayDenied()
        }
    }

    // MARK: The host

    private var state: NetworkState {
        let used = Set(carried.values.joined().map(\.network))
        return NetworkState(
            networks: used.sorted().compactMap { networks[$0].map(HostedNetwork.init) },
            interfaces: carried.sorted { $0.key < $1.key }.flatMap(\.value))
    }

    /// Brings the host to what is wanted now. Calls that come meanwhile share the next round.
    private func settle() async throws {
        guard isSettled else { return }
        let mine = changes
        while applied < mine {
            if let round {
                // Whoever began it has its error.
                _ = await round.result
                continue
            }
            let own = Task { try await self.bring() }
            round = own
            try await own.value
        }
    }

    private func bring() async throws {
        // In here, before it has a result: whoever waits for that looks at `round` again without a pause.
        defer { round = nil }
        let (at, state, host) = (changes, state, host)
        if state != held {
            held = nil
            let found = try await withDeadline(NetworkKeeper.limit, "changing the host's networks") {
                try await host.apply(state)
            }
            held = state
            if found != problems { await say(found) }
        }
        await names.update(
            NameState(
                networks: state.networks,
                interfaces: named.merging(carried) { $1 }.sorted { $0.key < $1.key }.flatMap(\.value)))
        applied = at
    }

    private func settleOrSay() async {
        do {
            try await settle()
        } catch is CancellationError {
            return
        } catch {
            logger.error("the host's networks could not be changed", metadata: ["error": "\(error)"])
            await sayOnNode(failure: "\(error)")
        }
    }

    private func say(_ found: [NetworkProblem]) async {
        problems = found
        for problem in found { logger.error("network problem", metadata: ["error": "\(problem.error)"]) }
        await sayOnNode()
        let hurt = Dictionary(found.compactMap { problem in problem.key.map { ($0.machine, problem.error) } }) { $1 }
        for id in carried.keys.sorted() {
            await update(id, "NetworkReady", hurt[id].map { ("NotCarried", "\($0)") })
        }
    }

    /// Says in a machine's conditions that packets of it were refused, once they were.
    private func sayDenied() async {
        guard let all = try? await host.figures() else { return }
        for (id, interfaces) in carried.sorted(by: { $0.key < $1.key }) {
            let figures = interfaces.compactMap { all[$0.key] }
            let count = figures.reduce(0) { $0 + $1.deniedPackets }
            guard count != denied[id, default: 0] else { continue }
            denied[id] = count
            await update(
                id, "EgressDenied", ("Refused", "\(count) packets to what its policy does not open were refused"))
        }
    }

    private func update(_ id: MachineID, _ type: String, _ fact: (reason: String, message: String)?) async {
        do {
            try await repositories.machines.updateStatus(id) { [now = clock.now()] status in
                guard let fact else { return status.conditions.clear(type) }
                let state: Condition.State = type == "NetworkReady" ? .no : .yes
                status.conditions.set(
                    Condition(type: type, state: state, reason: fact.reason, message: fact.message, since: now))
            }
        } catch {
            logger.debug("a condition was not stored", metadata: ["vm": "\(id)", "error": "\(error)"])
        }
    }

    /// Says in the node's conditions what its networks lack: what could not be changed, what the host cannot do, and
    /// where names are answered by somebody else.
    private func sayOnNode(failure: String? = nil) async {
        // Whoever turned networks off knows.
        guard !(host is NoNetworks) else { return }
        let lacks = [failure].compactMap { $0 } + problems.map { "\($0.error)" }
        let remarks = lacks + (await host.facts().problems) + (await names.problems())
        guard remarks != said else { return }
        do {
            try await repositories.nodes.updateStatus(node) { [now = clock.now()] status in
                guard !remarks.isEmpty else { return status.conditions.clear("NetworksReady") }
                status.conditions.set(
                    Condition(
                        type: "NetworksReady", state: .no, reason: "NotAsWanted",
                        message: remarks.prefix(5).joined(separator: "; "), since: now))
            }
            said = remarks
        } catch {
            logger.debug("a condition was not stored", metadata: ["error": "\(error)"])
        }
    }

    private func interfaces(of machine: VirtualMachine) async throws -> [HostedInterface] {
        // A machine keeps its slot for life: one look is enough.
        let known = named[machine.metadata.id]?.first?.owner
        let owner: UInt32
        if let known {
            owner = known
        } else {
            owner = user(try await repositories.machines.uidSlot(machine.metadata.id))
        }
        return machine.spec.networks.enumerated().compactMap { index, attachment in
            guard let network = attachment.networkID, let address = attachment.address, let mac = attachment.mac else {
                return nil
            }
            return HostedInterface(
                key: InterfaceKey(machine: machine.metadata.id, index: index), name: machine.metadata.name,
                tenant: machine.metadata.tenant, network: network, mac: mac, address: address,
                address6: attachment.address6, owner: owner, egress: machine.spec.egress,
                ports: index == 0 ? machine.spec.ports : [], sends: machine.spec.networkLimit,
                receives: machine.spec.networkLimit)
        }
    }
}

extension HostedNetwork {
    init(_ network: Network) {
        self.init(
            id: network.metadata.id, tenant: network.metadata.tenant, name: network.metadata.name, spec: network.spec)
    }
}

extension MachineStatus {
    /// Whether there may be a VMM of it.
    var hasRun: Bool {
        guard runGeneration > 0 else { return false }
        switch phase {
        case .preparing, .starting, .running, .paused, .stopping, .unknown, .deleting: return true
        case .pending, .scheduled, .stopped, .failed: return false
        }
    }
}
