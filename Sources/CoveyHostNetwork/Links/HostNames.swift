internal import CoveyModel
internal import CoveyNetwork

/// What an instance's things on the host are called, and how they are recognised.
struct HostNames: Hashable, Sendable {
    /// The instance.
    let instance: InstanceID

    /// The tables of the firewall, one for each family.
    var table: String { "covey-\(instance)" }
    /// What the names of all bridges begin with.
    var bridgePrefix: String { "b\(instance)" }
    /// What the names of all taps begin with.
    var tapPrefix: String { "t\(instance)" }
    /// The text of a tap that belongs to no interface.
    var freeAlias: String { aliasPrefix + "free" }
    // Links carry a text that outlives this process and says whose they are, whatever their names have become.
    private var aliasPrefix: String { "covey \(instance) " }

    /// A network's bridge.
    func bridge(_ network: NetworkID) -> String { bridgePrefix + network.tail(6) }

    /// A tap by its number.
    func tap(_ number: UInt32) -> String { tapPrefix + HostNames.hex(number) }

    /// A tap's number: the last six digits of its name. Nil for another name.
    func number(_ tap: String) -> String? {
        guard tap.hasPrefix(tapPrefix), tap.utf8.count == tapPrefix.utf8.count + 6 else { return nil }
        let number = tap.suffix(6)
        return number.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) } ? String(number) : nil
    }

    /// The text of a network's bridge.
    func alias(_ network: NetworkID) -> String { aliasPrefix + "network \(network)" }

    /// The text of an interface's tap.
    func alias(_ key: InterfaceKey) -> String { aliasPrefix + "interface \(key.machine)/\(key.index)" }

    /// Whether a link has a text of ours.
    func isOurs(_ link: HostLink) -> Bool { link.alias?.hasPrefix(aliasPrefix) == true }

    /// The interface whose tap a link is. Nil for anything else.
    func interface(_ link: HostLink) -> InterfaceKey? {
        guard let rest = remainder(link, "interface "), let slash = rest.firstIndex(of: "/"),
            let machine = MachineID(String(rest[..<slash])), let index = Int(rest[rest.index(after: slash)...])
        else { return nil }
        return InterfaceKey(machine: machine, index: index)
    }

    /// The network whose bridge a link is. Nil for anything else.
    func network(_ link: HostLink) -> NetworkID? { remainder(link, "network ").flatMap { NetworkID(String($0)) } }

    private func remainder(_ link: HostLink, _ kind: String) -> Substring? {
        let start = aliasPrefix + kind
        guard let alias = link.alias, alias.hasPrefix(start) else { return nil }
        return alias.dropFirst(start.count)
    }

    /// A bridge's address: of the network alone, so that it is the same on all hosts; locally administered.
    static func mac(_ network: NetworkID) -> MACAddress {
        MACAddress(bits: 0x06 << 40 | network.low & 0xFF_FFFF_FFFF)
    }

    /// Whether a bridge was made by us and we were killed before it had its text.
    func isHalfMade(bridge link: HostLink) -> Bool {
        guard link.kind == "bridge", link.alias == nil, link.name.hasPrefix(bridgePrefix), let mac = link.mac,
            mac.bits >> 40 == 6
        else { return false }
        return bridgePrefix + HostNames.hex(UInt32(mac.bits & 0xFF_FFFF)) == link.name
    }

    /// Six hex digits.
    static func hex(_ number: UInt32) -> String {
        let text = String(number & 0xFF_FFFF, radix: 16)
        return String(repeating: "0", count: 6 - text.count) + text
    }
}
