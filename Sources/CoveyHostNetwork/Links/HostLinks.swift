internal import CoveyModel
internal import CoveyNetwork
internal import CoveySystem
internal import Glibc

/// Called before each change of the host; what it throws ends the work there, as a kill would.
typealias BeforeStep = @Sendable () throws(SystemError) -> Void

/// Carries out what a ``LinkPlan`` says. All calls block, in the network namespace of the calling thread.
struct HostLinks: ~Copyable {
    let names: HostNames
    private var netlink: NetlinkSocket
    private let beforeStep: BeforeStep
    private var numbers: Set<String> = []
    private var nextNumber: UInt32
    private static let leastForIPv6 = 1280

    /// Opens netlink. Errors: ``ErrorCode/unsupported`` where it cannot be.
    init(_ names: HostNames, beforeStep: @escaping BeforeStep = {}) throws {
        self.names = names
        self.beforeStep = beforeStep
        do throws(SystemError) { netlink = try NetlinkSocket() } catch {
            throw CoveyError(.unsupported, "this host's links cannot be changed: \(error)")
        }
        nextNumber = .random(in: 0...0xFF_FFFF)
    }

    /// All links.
    mutating func links() throws -> [HostLink] {
        let links = try netlink.links()
        numbers = Set(links.compactMap { names.number($0.name) })
        return links
    }

    /// All addresses.
    mutating func addresses() throws -> [HostAddress] { try netlink.addresses() }

    /// All routes to hosts.
    mutating func routes() throws -> [HostRoute] { try netlink.routes() }

    /// Makes a bridge what it is to be. Returns its index.
    mutating func ensure(_ bridge: LinkPlan.Bridge, hasIPv6: Bool) throws -> Int32 {
        let name = names.bridge(bridge.network.id)
        let index: Int32
        if let existing = bridge.existing {
            index = existing.index
            try rename(index, from: existing.name, to: bridge.change.name)
        } else {
            let mac = HostNames.mac(bridge.network.id)
            try perform(.newBridge(name, mac: mac, mtu: bridge.network.spec.mtu), name)
            guard let made = try netlink.links().first(where: { $0.name == name }) else {
                throw CoveyError(.failure, "the bridge \(name) vanished while it was made")
            }
            index = made.index
        }
        var change = bridge.change
        (change.name, change.isUp) = (nil, nil)
        if !change.isEmpty { try perform(.change(index, change), name) }
        try setUp(name, bridge.network.spec, hasIPv6: hasIPv6)
        if let isUp = bridge.change.isUp { try perform(.change(index, LinkChange(isUp: isUp)), name) }
        for address in bridge.removing { try remove(address, name) }
        for var address in bridge.adding {
            address.link = index
            do throws(SystemError) { try perform(address.adding, "\(name) \(address.address)") } catch {
                if !error.isErrno(EEXIST) { throw error }
            }
        }
        return index
    }

    private func setUp(_ name: String, _ spec: NetworkSpec, hasIPv6: Bool) throws(SystemError) {
        try beforeStep()
        // Packets of the host to its loopback that were led to a machine come back to loopback over this bridge; the
        // firewall drops what machines send there themselves.
        try HostSetting("net/ipv4/conf/\(name)/route_localnet").set("1")
        // The kernel has no IPv6 on links of smaller packets.
        guard HostSetting.hasIPv6Tree, spec.mtu >= HostLinks.leastForIPv6 else { return }
        try HostSetting("net/ipv6/conf/\(name)/accept_ra").set("0")
        try HostSetting("net/ipv6/conf/\(name)/accept_dad").set("0")
        try HostSetting("net/ipv6/conf/\(name)/disable_ipv6").set(hasIPv6 && spec.block6 != nil ? "0" : "1")
    }

    private mutating func remove(_ address: HostAddress, _ name: String) throws(SystemError) {
        do throws(SystemError) { try perform(address.removing, "\(name) \(address.address)") } catch {
            if !error.isErrno(EADDRNOTAVAIL) { throw error }
        }
    }

    private mutating func rename(_ index: Int32, from old: String, to name: String?) throws(SystemError) {
        guard let name else { return }
        do throws(SystemError) { try perform(.change(index, LinkChange(name: name)), old) } catch {
            // Older kernels rename only what is down.
            guard error.isErrno(EBUSY) else { throw error }
            try perform(.change(index, LinkChange(isUp: false)), old)
            try perform(.change(index, LinkChange(name: name)), old)
            try perform(.change(index, LinkChange(isUp: true)), name)
        }
    }

    /// A tap for an interface, not on its bridge yet where it is new: the one that is there, one of `free`, or a new one.
    mutating func ensure(_ tap: LinkPlan.Tap, free: inout [HostLink]) throws -> String {
        let owner = tap.interface.owner
        if let existing = tap.existing {
            let name = tap.needsName ? freeName() : existing.name
            if tap.needsName { try rename(existing.index, from: existing.name, to: name) }
            if tap.needsOwner { try setOwner(name, owner) }
            return name
        }
        let alias = names.alias(tap.interface.key)
        while let next = free.popLast() {
            do throws(SystemError) {
                try perform(.change(next.index, LinkChange(alias: alias)), next.name)
            } catch {
                // It vanished since it was seen.
                guard error.isErrno(ENODEV) else { throw error }
                continue
            }
            try setOwner(next.name, owner)
            return next.name
        }
        return try make(alias: alias, owner: owner)
    }

    private func setOwner(_ name: String, _ owner: UInt32) throws(SystemError) {
        try beforeStep()
        try TapDevice.setOwner(name, owner)
    }

    /// A tap for the pool.
    mutating func makeFree() throws { _ = try make(alias: names.freeAlias, owner: TapDevice.root) }

    private mutating func make(alias: String, owner: UInt32) throws -> String {
        while true {
            let name = freeName()
            do {
                try TapDevice.make(name, owner: owner) {
                    if HostSetting.hasIPv6Tree { try HostSetting("net/ipv6/conf/\(name)/disable_ipv6").set("1") }
                    try perform(.change(name: name, LinkChange(alias: alias)), name)
                    try beforeStep()
                }
                return name
            } catch let error as SystemError where error.isErrno(EBUSY) || error.isErrno(EEXIST) {
                numbers.insert(HostNames.hex(nextNumber))
            } catch let error as SystemError where error.subject == "/dev/net/tun" {
                throw CoveyError(
                    .unsupported, "this host has no taps: \(error)", remedy: "load the kernel's module: modprobe tun")
            }
        }
    }

    private mutating func freeName() -> String {
        repeat { nextNumber = (nextNumber + 1) & 0xFF_FFFF } while numbers.contains(HostNames.hex(nextNumber))
        numbers.insert(HostNames.hex(nextNumber))
        return names.tap(nextNumber)
    }

    /// Puts a tap on its bridge and up.
    mutating func attach(_ name: String, _ tap: LinkPlan.Tap, to bridge: Int32) throws(SystemError) {
        var change = LinkChange(mtu: tap.mtu, master: bridge, isUp: true)
        if let existing = tap.existing {
            if existing.mtu == tap.mtu { change.mtu = nil }
            if existing.master == bridge { change.master = nil }
            if existing.isUp { change.isUp = nil }
        }
        if !change.isEmpty { try perform(.change(name: name, change), name) }
    }

    /// Takes a link away; one that is not there is no error.
    mutating func remove(_ link: HostLink) throws(SystemError) {
        do throws(SystemError) { try perform(.deleteLink(link.index), link.name) } catch {
            if !error.isErrno(ENODEV) { throw error }
        }
    }

    /// Sends another message.
    mutating func perform(_ message: NetlinkMessage, _ subject: String) throws(SystemError) {
        try beforeStep()
        try netlink.perform(message, subject)
    }
}
