internal import CoveyAPI
internal import CoveyModel
internal import CoveyNetwork
internal import CoveyStore

extension MachineValidation {
    /// Whether interfaces, ports, policy and limits can be a machine's, as far as that can be told without the store.
    func check(networks request: MachineRequest) throws(CoveyError) {
        try check(networks: request.networks ?? [])
        try PublishedPort.check(request.ports)
        if request.networks == [], !request.ports.isEmpty {
            throw CoveyError(
                .invalid, "ports lead to a machine's network, and it is to have none",
                remedy: "leave --network none or --publish out")
        }
        try request.egress?.check()
        try request.networkLimit?.check("--network-limit")
        try request.diskLimit?.check("--disk-limit")
    }

    /// Whether these can be a machine's networks.
    func check(networks: [NetworkAttachment]) throws(CoveyError) {
        guard networks.count <= Networks.interfaceLimit else {
            throw CoveyError(
                .invalid, "\(networks.count) networks are too many for a machine",
                remedy: "use at most \(Networks.interfaceLimit)")
        }
        var names: Set<String> = []
        for attachment in networks {
            guard !attachment.network.isEmpty else { throw CoveyError(.invalid, "a network has no name") }
            guard names.insert(attachment.network).inserted else {
                throw MachineValidation.twice(network: attachment.network)
            }
        }
    }

    static func twice(network: String) -> CoveyError {
        CoveyError(.invalid, "network \(network) is named twice", remedy: "name each network once")
    }
}

extension ServiceContext {
    /// What the node can do for networks. Errors: ``ErrorCode/unsupported`` with its reasons where it carries none.
    func networks() async throws -> NetworkHostFacts {
        let facts = try await networkFacts()
        if facts.available { return facts }
        throw CoveyError(
            .unsupported,
            "this host cannot carry networks: \(facts.problems.isEmpty ? "it does not say why" : facts.problems.joined(separator: "; "))",
            remedy: "put that right, or make machines with --network none; covey doctor says more")
    }

    /// What the node can do for networks.
    func networkFacts() async throws -> NetworkHostFacts {
        let node = settings.node
        return try await bounded("asking for the node's networks") { try await $0.networkFacts(on: node) }
    }
}

extension MachineResolution {
    /// The interfaces that a request means: the tenant's default network, where it names none and the node can.
    func networks(_ request: MachineRequest, tenant: Tenant) async throws -> [NetworkAttachment] {
        guard let asked = request.networks else {
            let facts = try await request.ports.isEmpty ? context.networkFacts() : context.networks()
            guard facts.available else { return [] }
            let network = try await context.repositories.networks.ensureDefault(
                tenant, avoiding: facts.routed, withIPv6: facts.hasIPv6)
            return [NetworkAttachment(network: network.metadata.name, networkID: network.metadata.id)]
        }
        return try await networks(asked, tenant: tenant)
    }

    /// The networks that names mean.
    func networks(_ asked: [NetworkAttachment], tenant: Tenant) async throws -> [NetworkAttachment] {
        guard !asked.isEmpty else { return [] }
        let facts = try await context.networks()
        var found: [NetworkAttachment] = []
        for var attachment in asked {
            let network = try await network(attachment.network, tenant, facts)
            if found.contains(where: { $0.networkID == network.metadata.id }) {
                throw MachineValidation.twice(network: network.metadata.name)
            }
            attachment.networkID = network.metadata.id
            found.append(attachment)
        }
        return found
    }

    private func network(_ name: String, _ tenant: Tenant, _ facts: NetworkHostFacts) async throws -> Network {
        let networks = context.repositories.networks
        do { return try await networks.named(name, tenant) } catch let error as CoveyError
            where error.code == .notFound && name == Networks.defaultName
        {
            return try await networks.ensureDefault(tenant, avoiding: facts.routed, withIPv6: facts.hasIPv6)
        }
    }

    /// Errors: ``ErrorCode/conflict`` naming the program of the host that has one of the ports.
    ///
    /// - Parameter node: Whose ports they are; nil is this daemon's node. Errors: ``ErrorCode/unavailable`` for another.
    func checkFree(_ ports: [PublishedPort], on node: NodeID? = nil) async throws {
        guard !ports.isEmpty else { return }
        let node = node ?? context.settings.node
        // Of those that a machine publishes the store says whose they are, or that the request is a repeat.
        let claimed = try await context.repositories.machines.claimed(ports, on: node)
        let open = ports.filter { !claimed.contains($0) }
        guard !open.isEmpty else { return }
        let holders = try await context.bounded("looking at ports") { try await $0.portHolders(on: node, open) }
        guard let holder = holders.first else { return }
        let program = holder.program ?? "another program"
        let pid = holder.pid.map { " (pid \($0))" } ?? ""
        throw CoveyError(
            .conflict,
            "port \(holder.port.hostPort)/\(holder.port.transport.rawValue) on \(holder.port.place) is held by \(program)\(pid)",
            remedy: "end it, or choose another port of the host",
            resource: ResourceReference("port", holder.port.description))
    }
}

extension Networks {
    /// A network as a caller names it.
    func named(_ name: String, _ tenant: Tenant) async throws -> Network {
        guard !name.isEmpty else { throw CoveyError(.invalid, "the request names no network") }
        do {
            return try await get(tenant, name)
        } catch let error as CoveyError where error.code == .notFound {
            throw CoveyError.notFound(
                "network", name,
                remedy: "see which there are (covey network ls), or make one: covey network create \(name)")
        }
    }
}
