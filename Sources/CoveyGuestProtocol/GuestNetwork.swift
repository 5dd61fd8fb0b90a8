package import CoveyModel

/// The network as a guest is to see it.
package struct GuestNetwork: Hashable, Sendable {
    /// The interfaces, in the order of the machine's devices.
    package var interfaces: [GuestInterface]
    /// Servers that are asked for names, the first first; empty leaves the image's resolver.
    package var resolvers: [IPAddress]
    /// Domains that a name without dots is looked for in.
    package var searchDomains: [String]
    /// Names that the guest knows without asking: its own among them.
    package var hosts: [GuestHost]

    /// Makes a network.
    package init(
        interfaces: [GuestInterface] = [], resolvers: [IPAddress] = [], searchDomains: [String] = [],
        hosts: [GuestHost] = []
    ) {
        self.interfaces = interfaces
        self.resolvers = resolvers
        self.searchDomains = searchDomains
        self.hosts = hosts
    }
}

/// An interface of a guest.
package struct GuestInterface: Hashable, Sendable {
    /// Its MAC address. Where no device has it, the device in this interface's place takes it on: that of a copied
    /// machine still has the address of its source.
    package var mac: MACAddress
    /// Its addresses.
    package var addresses: [GuestAddress]
    /// Where what no interface reaches is sent by IPv4; nil is nowhere by this interface.
    package var gateway: IPv4Address?
    /// The same by IPv6.
    package var gateway6: IPv6Address?
    /// The largest packet, in bytes.
    package var mtu: Int

    /// Makes an interface.
    package init(
        mac: MACAddress, addresses: [GuestAddress], gateway: IPv4Address? = nil, gateway6: IPv6Address? = nil, mtu: Int
    ) {
        self.mac = mac
        self.addresses = addresses
        self.gateway = gateway
        self.gateway6 = gateway6
        self.mtu = mtu
    }
}

/// An address with the length of the prefix that its neighbours share.
package struct GuestAddress: Hashable, Sendable {
    /// The address.
    package var address: IPAddress
    /// Bits of the prefix.
    package var prefix: UInt8

    /// Makes one.
    package init(_ address: IPAddress, prefix: UInt8) {
        self.address = address
        self.prefix = prefix
    }
}

/// A line of a hosts file.
package struct GuestHost: Hashable, Sendable {
    /// The address.
    package var address: IPAddress
    /// Its names, the first of them its own.
    package var names: [String]

    /// Makes one.
    package init(_ address: IPAddress, names: [String]) {
        self.address = address
        self.names = names
    }
}

extension GuestNetwork {
    func encode(_ out: inout FieldWriter) {
        for interface in interfaces { out.put(1) { interface.encode(&$0) } }
        for resolver in resolvers { out.put(2, resolver) }
        for domain in searchDomains { out.put(3, domain) }
        for host in hosts {
            out.put(4) {
                $0.put(1, host.address)
                for name in host.names { $0.put(2, name) }
            }
        }
    }

    init(_ fields: FieldReader) throws(FrameFault) {
        self.init(searchDomains: fields.texts(3))
        for interface in try fields.messages(1) { interfaces.append(try GuestInterface(interface)) }
        for resolver in fields.list(2) { resolvers.append(try IPAddress(octets: resolver)) }
        for host in try fields.messages(4) {
            hosts.append(GuestHost(try host.address(1), names: host.texts(2)))
        }
    }
}

extension GuestInterface {
    fileprivate func encode(_ out: inout FieldWriter) {
        out.put(1, mac.bytes)
        for address in addresses {
            out.put(2) {
                $0.put(1, address.address)
                $0.put(2, UInt64(address.prefix))
            }
        }
        if let gateway { out.put(3, .v4(gateway)) }
        if let gateway6 { out.put(4, .v6(gateway6)) }
        out.put(5, UInt64(clamping: mtu))
    }

    fileprivate init(_ fields: FieldReader) throws(FrameFault) {
        guard let mac = fields.bytes(1), mac.count == 6 else { throw FrameFault("an interface without its address") }
        self.init(
            mac: MACAddress(bits: mac.reduce(0) { $0 << 8 | UInt64($1) }), addresses: [],
            mtu: Int(try fields.number(5, as: UInt16.self) ?? 1500))
        for address in try fields.messages(2) {
            addresses.append(GuestAddress(try address.address(1), prefix: try address.number(2, as: UInt8.self) ?? 0))
        }
        if let octets = fields.bytes(3) {
            guard case .v4(let address) = try IPAddress(octets: octets) else { throw FrameFault("no IPv4 address") }
            gateway = address
        }
        if let octets = fields.bytes(4) {
            guard case .v6(let address) = try IPAddress(octets: octets) else { throw FrameFault("no IPv6 address") }
            gateway6 = address
        }
    }
}

extension FieldWriter {
    /// Writes an address as its 4 or 16 octets.
    mutating func put(_ tag: UInt8, _ address: IPAddress) {
        switch address {
        case .v4(let four): put(tag, four.bytes)
        case .v6(let six): put(tag, six.bytes)
        }
    }
}

extension FieldReader {
    /// An address that must be there.
    func address(_ tag: UInt8) throws(FrameFault) -> IPAddress {
        guard let octets = bytes(tag) else { throw FrameFault("a message lacks field \(tag)") }
        return try IPAddress(octets: octets)
    }
}

extension IPAddress {
    /// Reads 4 or 16 octets.
    init(octets: ArraySlice<UInt8>) throws(FrameFault) {
        switch octets.count {
        case 4: self = .v4(IPv4Address(bits: octets.reduce(0) { $0 << 8 | UInt32($1) }))
        case 16:
            self = .v6(
                IPv6Address(
                    high: octets.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
                    low: octets.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }))
        case _: throw FrameFault("an address of \(octets.count) octets")
        }
    }
}
