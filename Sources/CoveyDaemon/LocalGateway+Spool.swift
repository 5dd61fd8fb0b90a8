internal import CoveyImages
package import CoveyModel
internal import CoveyNode
package import CoveyServer
internal import CoveySystem
internal import Glibc

/// Files that callers stream: the daemon opens no path that a caller names.
extension LocalGateway {
    /// The most that one part may be.
    private static func limit(_ part: SpoolPart) -> Int64 {
        switch part {
        case .image: 256 << 30
        case .kernel, .modules: 2 << 30
        }
    }

    package func openSpool(on node: NodeID, name: String) async throws -> SpoolToken {
        try await check(node)
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
        try await check(node)
        let path = path(spool, part)
        try await host.pool.run {
            let file = try openFile(path, [.writeOnly, .append, .create])
            _ = try LocalGateway.checked(file.raw, path, spool, part, adding: Int64(bytes.count))
            do throws(SystemError) { try writeAll(file.raw, bytes) } catch {
                guard error.isErrno(ENOSPC) else { throw error }
                throw CoveyError(
                    .exhausted, "no space left for \(spool.name)",
                    remedy: "free space on the file system of \(parentFolder(path))", cause: error)
            }
        }
    }

    package func appendZeros(
        on node: NodeID, to spool: SpoolToken, _ part: SpoolPart, _ count: Int64
    ) async throws {
        try await check(node)
        let path = path(spool, part)
        try await host.pool.run {
            let file = try openFile(path, [.writeOnly, .append, .create])
            let size = try LocalGateway.checked(file.raw, path, spool, part, adding: count)
            try CoveySystem.check("ftruncate", path) { ftruncate(file.raw, off_t(size)) }
        }
    }

    package func catalogEntries(on node: NodeID, of catalog: String?, insecure: Bool) async throws -> [CatalogEntry] {
        try await check(node)
        return try await host.catalogs.entries(of: catalog, insecure: insecure)
    }

    /// A part's size with what is to be added. Errors: ``ErrorCode/exhausted`` above the limit.
    private static func checked(
        _ descriptor: Int32, _ path: String, _ spool: SpoolToken, _ part: SpoolPart, adding count: Int64
    ) throws -> Int64 {
        let size = try CoveySystem.check("lseek", path) { lseek(descriptor, 0, SEEK_END) }
        let (sum, overflow) = Int64(size).addingReportingOverflow(count)
        guard !overflow, count >= 0, sum <= limit(part) else {
            throw CoveyError(.exhausted, "\(spool.name) is larger than \(ByteCount(limit(part)).rounded)")
        }
        return sum
    }

    package func finishSpool(on node: NodeID, _ spool: SpoolToken) async throws {
        try await check(node)
        let paths = SpoolPart.allCases.map { path(spool, $0) }
        try await host.pool.run {
            for path in paths where fileExists(path) {
                let file = try openFile(path, .readOnly)
                try CoveySystem.check("fsync", path) { fsync(file.raw) }
            }
        }
    }

    package func discardSpool(on node: NodeID, _ spool: SpoolToken) async throws {
        try await check(node)
        let folder = host.spoolFolder("\(spool)")
        try await host.pool.run { try removeTree(folder) }
    }

    private func path(_ spool: SpoolToken, _ part: SpoolPart) -> String {
        switch part {
        case .kernel, .image: host.spoolPath("\(spool)")
        case .modules: host.spoolPath("\(spool)") + ".modules"
        }
    }
}
