import CoveyModel
import CoveySystem
import Glibc
import Synchronization

/// The programs under test and a kernel package, kept for the life of the test process.
struct Programs: Sendable {
    /// The folder of the programs: those that lie beside the tests, under a second name that no build replaces.
    let folder: String
    /// Debian's kernel package.
    let kernelPackage: String

    var covey: String { "\(folder)/covey" }

    private static let needed = ["covey", "covey-guard", "covey-guest", "covey-disk-check"]
    private static let preparation = Task { try await prepare() }

    /// The programs, looked for once. Errors: ``ErrorCode/notFound`` for one that was not built.
    static func shared() async throws -> Programs { try await preparation.value }

    /// A folder of the test process, removed when it ends.
    private static let cache: String = {
        let folder = "/tmp/cvy-m-cache-\(getpid())"
        atexit { removeCache() }
        return folder
    }()

    private static func prepare() async throws -> Programs {
        let beside = parentFolder(try linkTarget("/proc/self/exe"))
        try makeFolder(cache, mode: 0o755)
        for name in needed {
            guard fileExists("\(beside)/\(name)") else {
                throw CoveyError(.notFound, "\(beside)/\(name) was not built", remedy: "swift build --build-tests")
            }
        }
        let folder = try secondNames(beside)
        let dependency = try await runProgram(
            "sh", ["-c", "apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }'"])
        let name = dependency.lines.first ?? ""
        let fetched = try await runProgram(
            "sh", ["-c", "cd \(cache) && apt-get -q download \(name)"], limit: .seconds(180))
        guard let package = try listFolder(cache).first(where: { $0.hasSuffix(".deb") }) else {
            throw CoveyError(.unavailable, "no kernel package was fetched: \(fetched)", remedy: "apt-get update")
        }
        return Programs(folder: folder, kernelPackage: "\(cache)/\(package)")
    }

    /// Links the programs into the cache where it lies on the same file system; else they are taken as they are.
    private static func secondNames(_ beside: String) throws -> String {
        for name in needed + ["covey-guest.stripped"] where fileExists("\(beside)/\(name)") {
            if link("\(beside)/\(name)", "\(cache)/\(name)") != 0 { return beside }
        }
        return cache
    }
}

/// What a symbolic link points to.
private func linkTarget(_ path: String) throws(SystemError) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &buffer, buffer.count)
    guard count > 0 else { throw SystemError("readlink", path) }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

private func removeCache() {
    // At the very end of the process there is nobody left to tell.
    try? removeTree("/tmp/cvy-m-cache-\(getpid())")
}
