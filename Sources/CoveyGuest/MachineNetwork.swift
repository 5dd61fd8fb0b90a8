internal import CCovey
internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The machine's interfaces, as its host wants them.
enum MachineNetwork {
    /// How long a device may take to appear.
    private static let patience = Duration.seconds(5)

    /// Brings loopback up.
    static func loopback() throws(SystemError) {
        try check("ioctl SIOCSIFFLAGS", "lo") { covey_loopback_up() }
    }

    /// Sets addresses, routes and lengths of packets, and takes away what an earlier network set and this one lacks.
    /// What others set stays. Errors: ``ErrorCode/notFound`` where a device is missing, else the kernel's.
    static func apply(_ network: GuestNetwork, replacing previous: GuestNetwork?) throws(CoveyError) {
        do throws(SystemError) {
            let socket = try RouteSocket()
            let links = try awaitLinks(for: network, socket)
            if let previous { clear(previous, for: network, links, socket) }
            for (place, (interface, link)) in zip(network.interfaces, links).enumerated() {
                try set(interface, on: link, place: place, socket)
            }
        } catch {
            guard !error.isErrno(ENODEV) else {
                throw CoveyError(
                    .notFound, "the machine has no network device for \(error.subject)",
                    remedy: "does its kernel have virtio_net? (covey kernel inspect)")
            }
            throw error.coveyError
        }
    }

    /// Which device is which interface: by MAC address, and where no device has it, the devices that are left over in
    /// their order. Nil where there are not enough.
    static func assign(_ interfaces: [GuestInterface], to links: [RouteLink]) -> [RouteLink]? {
        var free = links.filter { link in link.isDevice && !interfaces.contains { $0.mac == link.mac } }
            .sorted { $0.index < $1.index }[...]
        var assigned: [RouteLink] = []
        for interface in interfaces {
            guard let link = links.first(where: { $0.mac == interface.mac }) ?? free.popFirst() else { return nil }
            assigned.append(link)
        }
        return assigned
    }

    private static func awaitLinks(
        for network: GuestNetwork, _ socket: RouteSocket
    ) throws(SystemError) -> [RouteLink] {
        let end = ContinuousClock.now + patience
        while true {
            if let links = assign(network.interfaces, to: try socket.links()) { return links }
            guard ContinuousClock.now < end else {
                let known = try socket.links()
                let missing = network.interfaces.first { interface in !known.contains { $0.mac == interface.mac } }
                throw SystemError("find", missing.map { "\($0.mac)" } ?? "an interface", errno: ENODEV)
            }
            // The machine is being configured: its one thread has nothing else to do.
            usleep(5000)
        }
    }

    private static func set(
        _ interface: GuestInterface, on link: RouteLink, place: Int, _ socket: RouteSocket
    ) throws(SystemError) {
        let metric = RouteMessage.metric + UInt32(place)
        quieten(link.name)
        if link.mac != interface.mac { try socket.perform(.address(interface.mac, of: link.index), link.name) }
        try socket.perform(.link(link.index, isUp: true, mtu: interface.mtu), link.name)
        for address in interface.addresses {
            try sixMayFail(address.address) { () throws(SystemError) in
                try socket.perform(.add(address.onLink, to: link.index), "\(address.address) on \(link.name)")
            }
        }
        for gateway in interface.gateways {
            try sixMayFail(gateway) { () throws(SystemError) in
                try socket.perform(
                    .addDefault(gateway, by: link.index, metric: metric), "the route by \(gateway) on \(link.name)")
            }
        }
    }

    /// A kernel or image may be without IPv6; the machine is of use all the same.
    private static func sixMayFail(
        _ address: IPAddress, _ body: () throws(SystemError) -> Void
    ) throws(SystemError) {
        switch address {
        case .v4: try body()
        case .v6: attempt(body)
        }
    }

    /// Takes away what the earlier network set and the new one lacks. What is gone already is no failure.
    private static func clear(
        _ previous: GuestNetwork, for network: GuestNetwork, _ links: [RouteLink], _ socket: RouteSocket
    ) {
        for (place, old) in previous.interfaces.enumerated() {
            // A copied machine's device takes on another address; else the address says which it was.
            let link = links.first { $0.mac == old.mac } ?? (place < links.count ? links[place] : nil)
            let known = zip(network.interfaces, links).first { $0.1.index == link?.index }?.0
            guard let link = link ?? (try? socket.links().first { $0.mac == old.mac }) else { continue }
            let metric = RouteMessage.metric + UInt32(place)
            for gateway in old.gateways where known?.gateways.contains(gateway) != true {
                ignoringAbsence { () throws(SystemError) in
                    try socket.perform(.removeDefault(gateway, by: link.index, metric: metric), link.name)
                }
            }
            for address in old.addresses where known?.addresses.contains(address) != true {
                ignoringAbsence { () throws(SystemError) in
                    try socket.perform(.remove(address.onLink, from: link.index), link.name)
                }
            }
            if known == nil {
                attempt { () throws(SystemError) in try socket.perform(.link(link.index, isUp: false), link.name) }
            }
        }
    }

    private static func ignoringAbsence(_ body: () throws(SystemError) -> Void) {
        attempt { () throws(SystemError) in
            do throws(SystemError) { try body() } catch {
                if ![EADDRNOTAVAIL, ESRCH, ENOENT].contains(error.errno) { throw error }
            }
        }
    }

    /// No neighbour's word changes the machine's routes, and its addresses, which are its own alone, are of use at once.
    private static func quieten(_ name: String) {
        let folder = "/proc/sys/net/ipv6/conf/\(name)"
        guard fileExists(folder) else { return }
        for setting in ["accept_ra", "accept_dad"] {
            attempt { () throws(SystemError) in
                let file = try openFile("\(folder)/\(setting)", .writeOnly)
                try writeAll(file.raw, [UInt8(ascii: "0")])
            }
        }
    }
}

extension GuestInterface {
    /// Its gateways, of both versions.
    var gateways: [IPAddress] {
        [gateway.map(IPAddress.v4), gateway6.map(IPAddress.v6)].compactMap(\.self)
    }
}

extension GuestAddress {
    fileprivate var onLink: RouteMessage.LinkAddress { .init(address: address, prefix: prefix) }
}
