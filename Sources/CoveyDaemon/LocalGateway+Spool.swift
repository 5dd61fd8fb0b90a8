package import CoveyModel
internal import CoveyNode
package import CoveyServer
internal import CoveySystem
internal import Glibc

/// Files that callers stream: the daemon opens no path that a caller names.
extension LocalGateway {
    /// The most that one part may be.
    private static let limit: Int64 = 2 << 30

    package func openSpool(on node: NodeID, name: String) async throws -> SpoolToken {
        try check(node)
        let digits = (0..<2).map { _ in String(UInt64.random(in: 1 << 60 ... .max), radix: 16) }
        let token = SpoolToken(token: digits.joined(), name: name)
        let path = host.spoolPath("\(token)")
        try await host.pool.run {
            try makeFolder(parentFolder(path))
            _ = try openFile(path, [.writeOnly, .create, .exclusive])
        }
        return token
    }

    package func append(on node: NodeID, to spool: SpoolToken, _ part: SpoolPart, _ bytes: [UInt8]) async throws {
        try check(node)
        let path = path(spool, part)
        try await host.pool.run {
            let file = try openFile(path, [.writeOnly, .append, .create])
            let size = try CoveySystem.check("lseek", path) { lseek(file.raw, 0, SEEK_END) }
            guard Int64(size) + Int64(bytes.count) <= LocalGateway.limit else {
                throw CoveyError(.exhausted, "\(spool.name) is larger than \(ByteCount(LocalGateway.limit).rounded)")
            }
            try writeAll(file.raw, bytes)
        }
    }

    package func finishSpool(on node: NodeID, _ spool: SpoolToken) async throws {
        try check(node)
        let paths = SpoolPart.allCases.map { path(spool, $0) }
        try await host.pool.run {
            for path in paths where fileExists(path) {
                let file = try openFile(path, .readOnly)
                try CoveySystem.check("fsync", path) { fsync(file.raw) }
            }
        }
    }

    package func discardSpool(on node: NodeID, _ spool: SpoolToken) async throws {
        try check(node)
        let folder = host.spoolFolder("\(spool)")
        try await host.pool.run { try removeTree(folder) }
    }

    private func path(_ spool: SpoolToken, _ part: SpoolPart) -> String {
        switch part {
        case .kernel: host.spoolPath("\(spool)")
        case .modules: host.spoolPath("\(spool)") + ".modules"
        }
    }
}
