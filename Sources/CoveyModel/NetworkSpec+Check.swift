extension NetworkSpec {
    /// The largest packets that an Ethernet with jumbo frames carries.
    private static let largestMTU = 9000
    /// The least that IPv4 hosts have to take (RFC 791),
    private static let smallestMTU = 576
    /// and IPv6 hosts (RFC 8200).
    private static let smallestMTU6 = 1280
    /// Rules in one policy.
    package static let ruleLimit = 64

    /// What no host can route to its machines: this host (RFC 1122), loopback, link-local, multicast and what is above.
    private static let unusable = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"].compactMap {
        AddressBlock($0)
    }

    /// Throws ``ErrorCode/invalid`` for what no network can be.
    package func check() throws(CoveyError) {
        try NetworkSpec.check(block)
        if let block6 { try NetworkSpec.check6(block6) }
        let least = block6 == nil ? NetworkSpec.smallestMTU : NetworkSpec.smallestMTU6
        guard (least...NetworkSpec.largestMTU).contains(mtu) else {
            throw CoveyError(
                .invalid, "an MTU of \(mtu) is out of range\(block6 == nil ? "" : " for IPv6")",
                remedy: "use --mtu \(least) to \(NetworkSpec.largestMTU)")
        }
        try egress.check()
    }

    /// Throws ``ErrorCode/invalid`` for what no network's IPv4 block can be.
    package static func check(_ block: AddressBlock) throws(CoveyError) {
        switch block.address {
        case .v4: break
        case .v6:
            throw CoveyError(
                .invalid, "\(block) is no IPv4 block", remedy: "give IPv6 blocks with --block6, beside an IPv4 block")
        }
        guard (16...30).contains(block.length) else {
            throw CoveyError(
                .invalid, "a block of /\(block.length) is too \(block.length < 16 ? "large" : "small") for a network",
                remedy: "use /16 to /30, such as 10.90.0.0/24")
        }
        if let taken = unusable.first(where: { $0.overlaps(block) }) {
            throw CoveyError(
                .invalid, "\(block) is of \(taken), which machines cannot be reached by",
                remedy: "use a private block, such as 10.90.0.0/24")
        }
    }

    /// Throws ``ErrorCode/invalid`` for what no network's IPv6 block can be: other than a /64 of fd00::/8 (RFC 4193).
    package static func check6(_ block: AddressBlock) throws(CoveyError) {
        if case .v6(let first) = block.address, block.length == 64, first.high >> 56 == 0xFD { return }
        throw CoveyError(
            .invalid, "\(block) is no unique local block of /64",
            remedy: "use a /64 of fd00::/8, or --block6 auto for one made at random")
    }
}

extension EgressPolicy {
    /// Throws ``ErrorCode/invalid`` for more rules than are carried.
    package func check() throws(CoveyError) {
        guard case .only(let rules) = self, rules.count > NetworkSpec.ruleLimit else { return }
        throw CoveyError(
            .invalid, "\(rules.count) egress rules are too many", remedy: "use at most \(NetworkSpec.ruleLimit)")
    }
}
