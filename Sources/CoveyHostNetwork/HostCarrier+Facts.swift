internal import CoveyModel
internal import CoveyNetwork
internal import CoveySystem

extension HostCarrier {
    /// What the host can do.
    func facts() throws -> NetworkHostFacts {
        var problems: [String] = []
        var links: [HostLink] = []
        var routes: [HostRoute] = []
        do {
            var host = try HostLinks(names)
            links = try host.links()
            routes = try host.routes()
        } catch { problems.append("\(CoveyError.wrapping(error))") }
        if !fileExists("/dev/net/tun") { problems.append("this host has no taps: run modprobe tun") }
        if HostProgram.nft.path == nil {
            problems.append("nft is not installed: run apt-get install \(HostProgram.nft.package)")
        }
        let available = problems.isEmpty
        if available { problems += try foreignObstacles() }
        problems += remarks
        let own = Set(links.filter { names.isOurs($0) }.map(\.index))
        return NetworkHostFacts(
            available: available, problems: problems, hasIPv6: HostSetting.hasIPv6,
            routed: HostCarrier.routed(routes, without: own))
    }

    /// Blocks that lead elsewhere than to every place, to this host itself or to our own bridges.
    static func routed(_ routes: [HostRoute], without own: Set<Int32>) -> [AddressBlock] {
        var seen: Set<AddressBlock> = []
        return routes.filter { route in
            route.block.length > 0 && route.table != HostRoute.localTable
                && !route.block.isLinkLocalOrMulticast && !(route.link.map { own.contains($0) } ?? false)
        }.map(\.block).filter { seen.insert($0).inserted }
    }

    /// What of others drops our packets, which no rule of ours can let through.
    private func foreignObstacles() throws -> [String] {
        var chains = try firewall.foreignDrops()
        let legacy = (try? readText("/proc/thread-self/net/ip_tables_names")) ?? ""
        if legacy.split(separator: "\n").contains("filter"), HostProgram.legacyTables.path != nil {
            let output = try HostProgram.legacyTables.run(["-S", "FORWARD"])
            if String(decoding: output.text, as: UTF8.self).hasPrefix("-P FORWARD DROP") {
                chains.append("iptables-legacy filter FORWARD")
            }
        }
        let bridges = "\(names.bridgePrefix)+"
        return chains.map { chain in
            "another program's firewall (\(chain)) drops what it does not know of all that is forwarded, so machines do "
                + "not reach out: let our bridges pass there, with docker by iptables -I DOCKER-USER -i \(bridges) "
                + "-j ACCEPT and iptables -I DOCKER-USER -o \(bridges) -j ACCEPT"
        }
    }
}

extension AddressBlock {
    /// Whether it is of addresses that every link has.
    var isLinkLocalOrMulticast: Bool {
        switch address {
        case .v4(let four): four.bits >> 16 == 0xA9FE || four.bits >> 28 == 0xE
        case .v6(let six): six.high >> 54 == 0x3FA || six.high >> 56 == 0xFF
        }
    }
}
