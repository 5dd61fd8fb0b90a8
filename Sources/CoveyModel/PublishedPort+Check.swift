extension PublishedPort {
    /// So many ports one machine publishes: one transaction of the store holds a machine with all of them.
    package static let limit = 32

    /// Throws ``ErrorCode/invalid`` for more than ``limit``, or two that cannot be published at once.
    package static func check(_ ports: [PublishedPort]) throws(CoveyError) {
        guard ports.count <= limit else {
            throw CoveyError(
                .invalid, "\(ports.count) published ports are too many for a machine",
                remedy: "use at most \(limit); a machine's own address reaches all of them")
        }
        for (index, port) in ports.enumerated() {
            if let other = ports[..<index].first(where: { $0.overlaps(port) }) {
                throw CoveyError(
                    .invalid, "\(port) and \(other) want the same port of the host", remedy: "publish each port once")
            }
        }
    }
}
