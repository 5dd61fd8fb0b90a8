internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A program of the host that is run to its end on a thread that may block, in that thread's network namespace.
struct HostProgram: Sendable {
    /// What it printed, and how it ended.
    struct Output: Sendable {
        /// Standard output.
        var text: [UInt8]
        /// Standard error.
        var errors: String
        /// Whether it ended with 0.
        var isSuccess: Bool
    }

    /// The program's name; it is looked for in the system's folders.
    let name: String
    /// The Debian package that holds it.
    let package: String

    private static let folders = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    private static let limit: Int32 = 30000
    private static let largest = 256 << 20

    static let nft = HostProgram(name: "nft", package: "nftables")
    static let legacyTables = HostProgram(name: "iptables-legacy", package: "iptables")

    /// Its path. Nil where it is not installed.
    var path: String? { HostProgram.folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 } }

    /// Runs it with some input. Errors: ``ErrorCode/unsupported`` where it is not installed, ``ErrorCode/deadline``.
    func run(_ arguments: [String], input: [UInt8] = []) throws -> Output {
        guard let path else {
            throw CoveyError(.unsupported, "\(name) is not installed", remedy: "run: apt-get install \(package)")
        }
        let files = try (0..<3).map { _ in try MemoryFile() }
        try writeAll(files[0].descriptor.raw, input)
        try files[0].rewind()
        let plan = SpawnPlan(
            arguments: [path] + arguments, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"],
            descriptors: [0: files[0].descriptor.raw, 1: files[1].descriptor.raw, 2: files[2].descriptor.raw],
            rights: .inherited)
        let process = try plan.start().takeDescriptor()
        var wait = pollfd(fd: process.raw, events: Int16(POLLIN), revents: 0)
        guard try check("poll", name, { poll(&wait, 1, HostProgram.limit) }) > 0 else {
            try process.kill()
            throw CoveyError(.deadline, "\(name) did not finish within \(HostProgram.limit / 1000) s")
        }
        let ending = try process.reap()
        return Output(
            text: try files[1].content(limit: HostProgram.largest),
            errors: String(decoding: try files[2].content(limit: 65536), as: UTF8.self), isSuccess: ending == .exited(0)
        )
    }
}

/// A file without a name.
private final class MemoryFile {
    let descriptor: FileDescriptor

    init() throws(SystemError) {
        descriptor = FileDescriptor(owning: try check("memfd_create") { covey_memfd_create("covey-network") })
    }

    func rewind() throws(SystemError) { try check("lseek") { lseek(descriptor.raw, 0, SEEK_SET) } }

    func content(limit: Int) throws(SystemError) -> [UInt8] {
        try rewind()
        var bytes: [UInt8] = []
        while bytes.count < limit, let part = try readSome(descriptor.raw), !part.isEmpty { bytes += part }
        return bytes
    }
}
