internal import CoveyModel

/// Which block a network has. All stand in one record, which every transaction compares that adds or takes one away.
extension Networks {
    /// Blocks that are chosen from, in this order: of 4096 addresses each, and seldom used by others.
    private static let choices: [AddressBlock] = {
        let heads: [UInt32] = (83...127).map { 10 << 24 | $0 << 16 } + (20...31).map { 172 << 24 | $0 << 16 }
        return heads.flatMap { head in
            (0..<16).compactMap { AddressBlock(.v4(IPv4Address(bits: head | $0 << 12)), length: 20) }
        }
    }()

    /// Reads the record of blocks; empty where there is none.
    func read(_ entry: StoreEntry?) throws -> BlocksRecord {
        guard let entry else { return BlocksRecord(networks: []) }
        return try table.read(entry) { try BlocksRecord.format.decode($0) }
    }

    /// Adds the changed record of blocks, compared with what was read.
    func write(_ record: BlocksRecord, over entry: StoreEntry?, _ draft: inout Draft) throws {
        if let entry {
            draft.replace(entry, try BlocksRecord.format.encode(record, over: entry.value))
        } else {
            draft.create(KeySpace.blocks, try BlocksRecord.format.encode(record))
        }
    }

    /// The spec that a request means, with blocks that no other network has.
    func choose(
        _ request: NetworkRequest, for tenant: String, among blocks: BlocksRecord, avoiding routed: [AddressBlock]
    ) throws(CoveyError) -> NetworkSpec {
        guard blocks.networks.count < Networks.limit else {
            throw CoveyError(
                .exhausted, "there are \(Networks.limit) networks, and no room for another",
                remedy: "remove networks that are not needed any more")
        }
        // What goes everywhere is no block that anything else is in.
        let routed = routed.filter { $0.length > 0 }
        let block =
            request.block
            ?? Networks.choices.first { choice in
                !routed.contains { $0.overlaps(choice) } && !blocks.networks.contains { $0.block.overlaps(choice) }
            }
        guard let block else {
            throw CoveyError(
                .exhausted, "all of the \(Networks.choices.count) blocks that networks get are in use or routed",
                remedy: "choose one with --block, or remove networks that are not needed any more")
        }
        let block6: AddressBlock? =
            switch request.block6 {
            case .none: nil
            case .block(let block6): block6
            case .auto: freeBlock6(blocks, routed)
            }
        var spec = NetworkSpec(
            block: block, block6: block6, isolated: request.isolated, reachesHost: request.reachesHost,
            egress: request.egress)
        if let mtu = request.mtu { spec.mtu = mtu }
        try spec.check()
        for block in [block, block6].compactMap({ $0 }) {
            try refuse(block, overlapping: blocks, of: tenant, network: request.name)
            if let route = routed.first(where: { $0.overlaps(block) }) {
                throw CoveyError(
                    .conflict, "block \(block) overlaps \(route), which this host routes elsewhere",
                    remedy: "choose another block, or leave --block out to get a free one",
                    resource: ResourceReference("network", request.name))
            }
        }
        return spec
    }

    /// 40 random bits behind fd00::/8, and 16 for the subnet (RFC 4193).
    private func freeBlock6(_ blocks: BlocksRecord, _ routed: [AddressBlock]) -> AddressBlock? {
        var block: AddressBlock?
        for _ in 0..<8 {
            let high = 0xFD << 56 | core.ids.randomBits() >> 8
            block = AddressBlock(.v6(IPv6Address(high: high, low: 0)), length: 64)
            guard let block else { continue }
            let taken = routed.contains { $0.overlaps(block) } || blocks.networks.contains { $0.block6 == block }
            if !taken { break }
        }
        return block
    }

    private func refuse(
        _ block: AddressBlock, overlapping blocks: BlocksRecord, of tenant: String, network name: String
    ) throws(CoveyError) {
        for other in blocks.networks {
            guard let its = [other.block, other.block6].compactMap({ $0 }).first(where: { $0.overlaps(block) }) else {
                continue
            }
            let owner = other.tenant == tenant ? "network \(other.name)" : "a network of another tenant"
            throw CoveyError(
                .conflict, "block \(block) overlaps \(its) of \(owner)",
                remedy: "choose another block, or leave --block out to get a free one",
                resource: ResourceReference("network", name))
        }
    }
}
