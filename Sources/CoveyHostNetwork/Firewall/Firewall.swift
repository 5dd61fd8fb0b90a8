internal import CoveyModel
internal import CoveyNetwork
internal import CoveySystem
internal import Synchronization

/// The firewall of an instance: what a ``FirewallPlan`` says, given to `nft` in one transaction. All calls block.
final class Firewall: Sendable {
    private struct State {
        var policies: [IPAddress: FirewallPolicy] = [:]
        var ends: [Opened: ContinuousClock.Instant] = [:]
    }

    private struct Opened: Hashable {
        var set: String
        var source: IPAddress
        var target: IPAddress
    }

    /// The shortest time that an address stays open.
    static let shortest: Duration = .seconds(60)

    private let names: HostNames
    private let beforeStep: BeforeStep
    // Held while `nft` runs, so that no opening is lost between a look and a replacement; on threads that may block.
    private let state = Mutex(State())

    /// The firewall of an instance; nothing is touched.
    init(_ names: HostNames, beforeStep: @escaping BeforeStep = {}) {
        self.names = names
        self.beforeStep = beforeStep
    }

    /// Makes it what a plan says. Errors: ``ErrorCode/unsupported`` where `nft` is missing or the kernel cannot do it.
    func apply(_ plan: FirewallPlan) throws {
        try state.withLock { state in
            let contents = try contents()
            try beforeStep()
            let changed = FirewallScript.text(plan, from: contents, anew: false)
            if try !contents.isCurrent || !HostProgram.nft.run(["-f", "-"], input: Array(changed.utf8)).isSuccess {
                let anew = FirewallScript.text(plan, from: contents, anew: true)
                let output = try HostProgram.nft.run(["-f", "-"], input: Array(anew.utf8))
                guard output.isSuccess else { throw Firewall.refused(output.errors) }
            }
            state.policies = plan.policies
            let now = ContinuousClock.now
            state.ends = state.ends.filter { $0.value > now && plan.policies[$0.key.source] != nil }
        }
    }

    /// What it holds.
    func contents() throws -> FirewallContents {
        var contents = FirewallContents()
        for family in FirewallContents.Family.allCases {
            let output = try HostProgram.nft.run(["-j", "list", "table", family.rawValue, names.table])
            // It fails where there is no such table.
            if output.isSuccess { try contents.add(family, json: output.text) }
        }
        return contents
    }

    /// Opens addresses for a machine's addresses; those that its policy does not speak of are left out.
    func open(_ openings: [EgressOpening], sources: [InterfaceKey: [IPAddress]]) throws {
        try state.withLock { state in
            var script = ""
            let now = ContinuousClock.now
            for opening in openings {
                let shape = OpeningShape(transport: opening.transport, ports: opening.ports)
                let end = now + max(opening.duration, Firewall.shortest)
                for source in sources[opening.key] ?? [] {
                    guard let policy = state.policies[source], policy.shapes.contains(shape) else { continue }
                    for target in opening.addresses where target.isVersion6 == source.isVersion6 {
                        let opened = Opened(set: shape.set(source), source: source, target: target)
                        let last = max(end, state.ends[opened] ?? end)
                        state.ends[opened] = last
                        script += element(opened, seconds: max((last - now).components.seconds, 1), policy.mark)
                    }
                }
            }
            if script.isEmpty { return }
            let output = try HostProgram.nft.run(["-f", "-"], input: Array(script.utf8))
            guard output.isSuccess else { throw Firewall.refused(output.errors) }
        }
    }

    private func element(_ opened: Opened, seconds: Int64, _ mark: String) -> String {
        let element = "element inet \(names.table) \(opened.set) { \(opened.source) . \(opened.target)"
        // Kernels before 6.12 leave the time of one that is there as it is: it is taken away and added, at once.
        return "add \(element) timeout 1s }\ndelete \(element) }\n"
            + "add \(element) timeout \(seconds)s comment \"\(mark)\" }\n"
    }

    /// Takes it all away.
    func remove() throws {
        try state.withLock { state in
            let output = try HostProgram.nft.run(["-f", "-"], input: Array(FirewallScript.removal(names).utf8))
            guard output.isSuccess else { throw Firewall.refused(output.errors) }
            state = State()
        }
    }

    /// Foreign chains that drop what they do not know of all that is forwarded.
    func foreignDrops() throws -> [String] {
        let output = try HostProgram.nft.run(["-j", "list", "chains"])
        guard output.isSuccess else { throw Firewall.refused(output.errors) }
        return try FirewallContents.foreignDrops(json: output.text, own: names.table)
    }

    private static func refused(_ errors: String) -> CoveyError {
        let line = errors.split(separator: "\n").first.map(String.init) ?? "no message"
        return CoveyError(
            .unsupported, "nft refused the firewall: \(line)",
            remedy: "the kernel needs nf_tables for inet and bridge, with nat, fib and conntrack")
    }
}
