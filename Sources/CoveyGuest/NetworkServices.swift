internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem

/// The image's own network services, where it has some that are switched on: they are told of the machine's interfaces,
/// since one that asks for a DHCP server would take away what the agent has set. All of it lies on tmpfs.
enum NetworkServices {
    private static let wanted = "/etc/systemd/system/multi-user.target.wants"
    private static let interfaces = "/etc/network/interfaces"

    /// Tells them; what fails is on the console.
    static func tell(_ network: GuestNetwork) {
        if fileExists("\(wanted)/systemd-networkd.service") {
            for (place, interface) in network.interfaces.enumerated() {
                attempt { () throws(SystemError) in
                    // The first file that fits an interface counts, wherever it lies.
                    try put(
                        networkd(interface, place: place, network), at: "/run/systemd/network/00-covey\(place).network")
                }
            }
        }
        if fileExists("\(wanted)/NetworkManager.service") {
            attempt { () throws(SystemError) in
                try put(networkManager(network), at: "/run/NetworkManager/conf.d/00-covey.conf")
            }
        }
        if asksForAddresses(ifupdown()) {
            attempt { () throws(SystemError) in
                try NetworkFiles.overlay("interfaces", "auto lo\niface lo inet loopback\n", at: interfaces)
            }
        }
    }

    private static func put(_ text: String, at path: String) throws(SystemError) {
        try makeFolder(parentFolder(path), mode: 0o755)
        try NetworkFiles.fill(path, text)
    }

    private static func ifupdown() -> String {
        let folder = "\(interfaces).d"
        let names = ((try? listFolder(folder)) ?? []).map { "\(folder)/\($0)" }
        return ([interfaces] + names).compactMap { try? readText($0) }.joined(separator: "\n")
    }

    // MARK: the texts

    /// What the agent has set, as systemd-networkd is to have it; then whoever waits for it to be online does not wait.
    /// Source: systemd.network(5).
    static func networkd(_ interface: GuestInterface, place: Int, _ network: GuestNetwork) -> String {
        var lines = ["[Match]", "MACAddress=\(interface.mac)", "[Link]", "MTUBytes=\(interface.mtu)", "[Network]"]
        lines += ["DHCP=no", "IPv6AcceptRA=no"]
        if place == 0 {
            lines += network.resolvers.map { "DNS=\($0)" }
            if !network.searchDomains.isEmpty {
                lines.append("Domains=\(network.searchDomains.joined(separator: " "))")
            }
        }
        for address in interface.addresses {
            lines += ["[Address]", "Address=\(address.address)/\(address.prefix)", "DuplicateAddressDetection=none"]
        }
        for gateway in interface.gateways {
            lines += ["[Route]", "Gateway=\(gateway)", "Metric=\(RouteMessage.metric + UInt32(place))"]
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// The interfaces are not NetworkManager's. Source: NetworkManager.conf(5).
    static func networkManager(_ network: GuestNetwork) -> String {
        let devices = network.interfaces.map { "mac:\($0.mac)" }.joined(separator: ";")
        return "[keyfile]\nunmanaged-devices+=\(devices)\n"
    }

    /// Whether interfaces(5) has an interface that waits for a DHCP server or a router.
    static func asksForAddresses(_ text: String) -> Bool {
        text.split(separator: "\n").contains { line in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            return words.count == 4 && words[0] == "iface" && ["dhcp", "auto"].contains(words[3])
        }
    }
}
