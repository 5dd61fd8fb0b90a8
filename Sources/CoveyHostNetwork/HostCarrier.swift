internal import CoveyModel
internal import CoveyNetwork
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// The blocking half of ``HostNetwork``: every call works in the network namespace of its thread.
final class HostCarrier: Sendable {
    /// What was carried.
    struct Carried: Sendable {
        /// What could not be.
        var problems: [NetworkProblem]
        /// The taps of the interfaces that were.
        var taps: [InterfaceKey: String]
    }

    private struct State: ~Copyable {
        var settings: HostSettings?
        var holds = PortHolds()
        var owners: [PortHolds.Place: String] = [:]
        var shapes: [String: TrafficShape] = [:]
        var sources: [InterfaceKey: [IPAddress]] = [:]
        // Taps that a VMM was seen on, and the interfaces whose tap vanished under its VMM.
        var attended: Set<InterfaceKey> = []
        var lost: Set<InterfaceKey> = []
    }

    let names: HostNames
    let firewall: Firewall
    private let folder: String
    private let spare: Int
    private let beforeStep: BeforeStep
    // Held while the host is changed, by threads that may block.
    private let state = Mutex(State())
    private let noted = Mutex<[String]>([])
    // What the other calls need of it, without waiting for a change.
    private let sources = Mutex<[InterfaceKey: [IPAddress]]>([:])

    /// The carrier of an instance; nothing is touched.
    init(_ names: HostNames, folder: String, spare: Int, beforeStep: @escaping BeforeStep = {}) {
        self.beforeStep = beforeStep
        self.names = names
        self.folder = folder
        self.spare = spare
        firewall = Firewall(names, beforeStep: beforeStep)
    }

    /// Makes the host carry a state.
    func apply(_ wanted: NetworkState) throws -> Carried {
        try state.withLock { state in
            if wanted != NetworkState(), HostProgram.nft.path == nil {
                throw CoveyError(
                    .unsupported, "this host cannot carry networks: nft is not installed",
                    remedy: "run: apt-get install \(HostProgram.nft.package)")
            }
            var links = try HostLinks(names, beforeStep: beforeStep)
            let hasIPv6 = HostSetting.hasIPv6
            let plan = LinkPlan(
                wanted, links: try links.links(), addresses: try links.addresses(), names: names, hasIPv6: hasIPv6)
            var pass = Pass(problems: plan.problems)
            for link in plan.removals where link.isTap { try links.remove(link) }
            for bridge in plan.bridges {
                do {
                    pass.bridges[bridge.network.id] = try links.ensure(bridge, hasIPv6: hasIPv6)
                } catch {
                    pass.failed(bridge.network, error)
                }
            }
            var free = plan.free
            for tap in plan.taps where pass.bridges[tap.interface.network] != nil {
                do { pass.taps.append((tap, try links.ensure(tap, free: &free))) } catch {
                    pass.failed(tap.interface, error)
                }
            }
            try protect(wanted, &pass, &state, hasLeft: plan.hasLeft, hasIPv6: hasIPv6)
            var taps: [InterfaceKey: String] = [:]
            for (tap, name) in pass.taps {
                guard let bridge = pass.bridges[tap.interface.network] else { continue }
                do {
                    try links.attach(name, tap, to: bridge)
                    try shape(tap, name, &links, &state)
                    taps[tap.interface.key] = name
                } catch {
                    pass.failed(tap.interface, error)
                }
            }
            for link in plan.removals where !link.isTap { try links.remove(link) }
            attend(plan, &pass, &state)
            return Carried(problems: pass.problems, taps: taps)
        }
    }

    /// What one pass has come to.
    private struct Pass {
        var problems: [NetworkProblem]
        var bridges: [NetworkID: Int32] = [:]
        var taps: [(tap: LinkPlan.Tap, name: String)] = []

        init(problems: [NetworkProblem]) { self.problems = problems }

        mutating func failed(_ network: HostedNetwork, _ error: any Error) {
            let failure = CoveyError.wrapping(error, "the bridge of network \(network.name)")
            problems.append(NetworkProblem(network: network.id, error: failure))
        }

        mutating func failed(_ interface: HostedInterface, _ error: any Error) {
            let failure = CoveyError.wrapping(error, "the tap of vm \(interface.name)")
            problems.append(NetworkProblem(key: interface.key, network: interface.network, error: failure))
        }
    }

    /// Settings, ports and firewall, before anything new is on a bridge.
    private func protect(
        _ wanted: NetworkState, _ pass: inout Pass, _ state: inout State, hasLeft: Bool, hasIPv6: Bool
    ) throws {
        let networks = wanted.networks.filter { pass.bridges[$0.id] != nil }
        var plan = FirewallPlan(networks, names: names, hasIPv6: hasIPv6)
        for (tap, name) in pass.taps { plan.add(tap.interface, tap: name) }
        plan.ports = hold(&pass, &state, hasIPv6: hasIPv6)
        // A machine that nobody knows is kept from everything.
        if networks.isEmpty && !hasLeft {
            if !(try firewall.contents()).tables.isEmpty { try firewall.remove() }
        } else {
            plan.quiet = try settings(&state).quiet
            try firewall.apply(plan)
            let version6 = hasIPv6 && networks.contains { $0.spec.block6 != nil }
            var settings = try settings(&state)
            let before = settings.quiet
            try beforeStep()
            try settings.forward(version6: version6) { self.isOurs($0) }
            state.settings = settings
            if settings.quiet != before {
                plan.quiet = settings.quiet
                try firewall.apply(plan)
            }
        }
        let addresses = Dictionary(
            plan.machines.map { ($0.interface.key, plan.addresses($0)) }, uniquingKeysWith: { first, _ in first })
        sources.withLock { $0 = addresses }
    }

    private func isOurs(_ link: String) -> Bool {
        link.hasPrefix(names.bridgePrefix) || link.hasPrefix(names.tapPrefix)
    }

    private func settings(_ state: inout State) throws -> HostSettings {
        if let settings = state.settings { return settings }
        try makeFolder(folder)
        var remarks: [String] = []
        let settings = try HostSettings(folder: folder) { remarks.append($0) }
        state.settings = settings
        noted.withLock { $0 += remarks }
        return settings
    }

    /// What was seen that somebody should know of.
    var remarks: [String] { noted.withLock { $0 } }

    private func hold(_ pass: inout Pass, _ state: inout State, hasIPv6: Bool) -> [FirewallPlan.Port] {
        var led: [FirewallPlan.Port] = []
        var owners: [PortHolds.Place: String] = [:]
        let places = pass.taps.flatMap { $0.tap.interface.ports.map { PortHolds.Place($0) } }
        state.holds.keep(Set(places))
        for (tap, _) in pass.taps {
            let interface = tap.interface
            for port in interface.ports {
                let place = PortHolds.Place(port)
                do {
                    let target = try target(of: port, interface, hasIPv6: hasIPv6)
                    if let other = owners[place] { throw taken(place, by: "vm \(other)") }
                    do throws(SystemError) { try state.holds.hold(place) } catch { throw refused(place, error) }
                    owners[place] = interface.name
                    led.append(FirewallPlan.Port(port: port, target: target))
                } catch {
                    pass.problems.append(
                        NetworkProblem(
                            key: interface.key, network: interface.network, error: CoveyError.wrapping(error)))
                }
            }
        }
        state.owners = owners
        return led
    }

    private func target(of port: PublishedPort, _ interface: HostedInterface, hasIPv6: Bool) throws -> IPAddress {
        guard let bind = port.bind, bind.isVersion6 else { return .v4(interface.address) }
        guard hasIPv6, let six = interface.address6 else {
            throw CoveyError(
                .unsupported, "\(port) cannot be published: vm \(interface.name) has no IPv6 address",
                remedy: "publish it on an IPv4 address, or give the network IPv6")
        }
        if bind == .v6(IPv6Address(high: 0, low: 1)) {
            throw CoveyError(
                .unsupported, "\(port) cannot be published: packets of ::1 cannot leave the loopback link",
                remedy: "publish it on 127.0.0.1")
        }
        return .v6(six)
    }

    private func taken(_ place: PortHolds.Place, by holder: String) -> CoveyError {
        CoveyError(
            .conflict, "port \(place.port)/\(place.transport.rawValue) of \(place.address) is held by \(holder)",
            remedy: "publish another port, or end what holds it")
    }

    private func refused(_ place: PortHolds.Place, _ error: SystemError) -> CoveyError {
        if error.isErrno(EADDRNOTAVAIL) {
            return CoveyError(
                .invalid, "this host has no address \(place.address)",
                remedy: "publish on an address of the host, or on 0.0.0.0 for all")
        }
        guard error.isErrno(EADDRINUSE) else { return error.coveyError }
        let process = SocketTable.holder(of: place).flatMap { SocketTable.process(of: $0.inode) }
        return taken(place, by: process.map { "\($0.program) (pid \($0.pid))" } ?? "another program")
    }

    /// What the machine receives passes a token bucket on its tap.
    private func shape(
        _ tap: LinkPlan.Tap, _ name: String, _ links: inout HostLinks, _ state: inout State
    ) throws {
        let wanted = TrafficShape(tap.interface.receives)
        let there = tap.existing?.queue == TrafficShape.kind
        if wanted == nil && !there { return }
        if there, let wanted, state.shapes[name] == wanted { return }
        let index = Int32(if_nametoindex(name))
        if let wanted {
            try links.perform(wanted.setting(on: index), name)
        } else {
            try links.perform(TrafficShape.removal(from: index), name)
        }
        state.shapes[name] = wanted
    }

    /// A VMM whose tap vanished has no network until it is started again: that is said until it is.
    private func attend(_ plan: LinkPlan, _ pass: inout Pass, _ state: inout State) {
        let keys = Set(plan.taps.map(\.interface.key))
        state.lost.formIntersection(keys)
        state.attended.formIntersection(keys)
        let names = Set(pass.taps.map(\.name))
        state.shapes = state.shapes.filter { names.contains($0.key) }
        for tap in plan.taps {
            let key = tap.interface.key
            if tap.existing?.hasCarrier == true {
                state.attended.insert(key)
                state.lost.remove(key)
            } else if tap.existing == nil, state.attended.remove(key) != nil {
                state.lost.insert(key)
            }
            guard state.lost.contains(key) else { continue }
            pass.problems.append(
                NetworkProblem(
                    key: key, network: tap.interface.network,
                    error: CoveyError(
                        .failure, "the tap of vm \(tap.interface.name) vanished while it ran, and was made again",
                        remedy: "restart it: covey vm restart \(tap.interface.name)")))
        }
    }
}

// MARK: - The rest

extension HostCarrier {
    /// Makes a few of the taps that the pool lacks, or takes away what it has too many. Returns whether it is right.
    func fillPool() throws -> Bool {
        let atOnce = 4
        return try state.withLock { _ in
            var links = try HostLinks(names, beforeStep: beforeStep)
            let all = try links.links()
            // Without networks nothing is kept.
            let isUsed = all.contains { names.network($0) != nil }
            let free = all.filter { $0.alias == names.freeAlias && $0.isTap }
            let wanted = isUsed ? spare : 0
            for link in free.dropFirst(wanted) { try links.remove(link) }
            let missing = wanted - free.count
            for _ in 0..<max(min(missing, atOnce), 0) { try links.makeFree() }
            return missing <= atOnce
        }
    }

    /// Opens addresses.
    func open(_ openings: [EgressOpening]) throws {
        let sources = sources.withLock { $0 }
        try firewall.open(openings, sources: sources)
    }

    /// What went through.
    func figures() throws -> [InterfaceKey: InterfaceFigures] {
        var links = try HostLinks(names, beforeStep: beforeStep)
        let contents = try firewall.contents()
        var figures: [InterfaceKey: InterfaceFigures] = [:]
        for link in try links.links() {
            guard link.isTap, let key = names.interface(link), let number = names.number(link.name) else { continue }
            figures[key] = InterfaceFigures(
                receivedBytes: link.sent.bytes, receivedPackets: link.sent.packets, sentBytes: link.received.bytes,
                sentPackets: link.received.packets,
                deniedPackets: contents.tables[.routed]?.counters["d\(number)"]?.packets ?? 0,
                forgedPackets: contents.tables[.bridged]?.counters["f\(number)"]?.packets ?? 0)
        }
        return figures
    }

    /// Who has ports.
    func holders(_ ports: [PublishedPort]) throws -> [PortHolder] {
        let owners = state.withLock { $0.owners }
        return try ports.compactMap { port in
            let place = PortHolds.Place(port)
            if let owner = owners[place] { return PortHolder(port: port, pid: nil, program: "vm \(owner)") }
            do throws(SystemError) { if try PortHolds.isFree(place) { return nil } } catch {
                throw refused(place, error)
            }
            let process = SocketTable.holder(of: place).flatMap { SocketTable.process(of: $0.inode) }
            return PortHolder(port: port, pid: process?.pid, program: process?.program)
        }
    }

    /// Takes everything away, and puts the settings back.
    func uninstall() throws {
        try state.withLock { state in
            var links = try HostLinks(names, beforeStep: beforeStep)
            let all = try links.links().filter { names.isOurs($0) || names.isHalfMade(bridge: $0) }
            for link in all where link.isTap { try links.remove(link) }
            for link in all where !link.isTap { try links.remove(link) }
            if HostProgram.nft.path != nil { try firewall.remove() }
            state.holds.keep([])
            var settings = try settings(&state)
            try settings.restore()
            state.settings = nil
            state.owners = [:]
            state.shapes = [:]
            state.attended = []
            state.lost = []
        }
        sources.withLock { $0 = [:] }
    }
}
