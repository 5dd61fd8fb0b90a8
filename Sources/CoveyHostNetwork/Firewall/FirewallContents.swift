internal import CoveyModel
internal import FoundationEssentials

/// What the firewall of an instance holds, as `nft -j list table` tells it. Source: libnftables-json(5).
struct FirewallContents: Hashable, Sendable {
    /// The families in which we have a table.
    enum Family: String, CaseIterable, Sendable {
        case routed = "inet"
        case bridged = "bridge"
    }

    /// What a counter has counted.
    struct Count: Hashable, Sendable {
        var packets: UInt64
        var bytes: UInt64
    }

    /// The things in a table, by name.
    struct Table: Hashable, Sendable {
        var chains: Set<String> = []
        var sets: Set<String> = []
        var maps: Set<String> = []
        var limits: Set<String> = []
        var counters: [String: Count] = [:]
    }

    /// Addresses that are open for a machine for a while.
    struct Opening: Hashable, Sendable {
        /// The set that holds it.
        var set: String
        /// The machine's address.
        var source: IPAddress
        /// The address outside.
        var target: IPAddress
        /// Seconds that are left.
        var seconds: Int
        /// Which policy it was opened by.
        var mark: String
    }

    /// The tables that are there.
    var tables: [Family: Table] = [:]
    /// What is open.
    var openings: [Opening] = []

    /// Whether both tables are there and of this version.
    var isCurrent: Bool {
        Family.allCases.allSatisfy { tables[$0]?.chains.contains(FirewallScript.version) == true }
    }

    /// Adds what a listing says of a table.
    mutating func add(_ family: Family, json: [UInt8]) throws {
        var table = Table()
        for item in try JSONDecoder().decode(Listing.self, from: Data(json)).nftables {
            if let chain = item.chain { table.chains.insert(chain.name) }
            if let limit = item.limit { table.limits.insert(limit.name) }
            if let counter = item.counter {
                table.counters[counter.name] = Count(packets: counter.packets ?? 0, bytes: counter.bytes ?? 0)
            }
            if let map = item.map { table.maps.insert(map.name) }
            guard let set = item.set else { continue }
            table.sets.insert(set.name)
            guard set.name.hasPrefix("o4_") || set.name.hasPrefix("o6_") else { continue }
            for element in set.elem ?? [] {
                guard let value = element.elem, value.val.concat.count == 2,
                    let source = IPAddress(value.val.concat[0]), let target = IPAddress(value.val.concat[1])
                else { continue }
                openings.append(
                    Opening(
                        set: set.name, source: source, target: target, seconds: value.expires ?? value.timeout ?? 0,
                        mark: value.comment ?? ""))
            }
        }
        tables[family] = table
    }

    /// Of a listing of all chains: foreign ones that forward nothing by themselves.
    static func foreignDrops(json: [UInt8], own: String) throws -> [String] {
        try JSONDecoder().decode(Listing.self, from: Data(json)).nftables.compactMap { item in
            guard let chain = item.chain, chain.hook == "forward", chain.policy == "drop", chain.table != own else {
                return nil
            }
            return "\(chain.family ?? "") \(chain.table ?? "") \(chain.name)"
        }
    }
}

private struct Listing: Decodable {
    struct Item: Decodable {
        var chain: Named?
        var set: Named?
        var map: Named?
        var counter: Named?
        var limit: Named?
    }

    struct Named: Decodable {
        var name: String
        var family: String?
        var table: String?
        var hook: String?
        var policy: String?
        var packets: UInt64?
        var bytes: UInt64?
        var elem: [Element]?

        private enum Key: String, CodingKey { case name, family, table, hook, policy, packets, bytes, elem }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: Key.self)
            name = try values.decode(String.self, forKey: .name)
            family = try values.decodeIfPresent(String.self, forKey: .family)
            table = try values.decodeIfPresent(String.self, forKey: .table)
            hook = try values.decodeIfPresent(String.self, forKey: .hook)
            policy = try values.decodeIfPresent(String.self, forKey: .policy)
            packets = try values.decodeIfPresent(UInt64.self, forKey: .packets)
            bytes = try values.decodeIfPresent(UInt64.self, forKey: .bytes)
            // Elements of most sets have other forms; only openings are read.
            let isOpenings = name.hasPrefix("o4_") || name.hasPrefix("o6_")
            elem = isOpenings ? try values.decodeIfPresent([Element].self, forKey: .elem) : nil
        }
    }

    struct Element: Decodable {
        var elem: Value?
    }

    struct Value: Decodable {
        struct Pair: Decodable { var concat: [String] }

        var val: Pair
        var timeout: Int?
        var expires: Int?
        var comment: String?
    }

    var nftables: [Item]
}
