internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// OpenSSH's server on the tools disk, with its loader and libraries, so that any image can be logged in to.
///
/// The programs are Debian's: by the host's apt, which checks signatures and digests, or the host's own where they are
/// installed. `libnss_wrapper` shows the server accounts of ours.
struct ShellPrograms {
    /// The folder that machines see as `/run/covey/tools`.
    let folder: String

    private static let packages = ["openssh-server", "libnss-wrapper"]
    private static let server = "sshd"
    private static let wrapper = "libnss_wrapper.so"
    private static let loader = "ld-linux-x86-64.so.2"
    /// Since 9.8 the server is several programs that find each other by paths of their build.
    private static let split = "sshd-session"
    private static let hostFolders = [
        "/usr/sbin", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
    ]
    private static let sandbox = ["-q", "-o", "APT::Sandbox::User=root"]
    private static let mostPackages = 80
    private static let largestFile = 64 << 20

    private var target: String { "\(folder)/ssh" }

    /// Takes them from the host where it has them. Returns whether it did. Blocks.
    @discardableResult
    func takeFromHost(_ cancellation: Cancellation) throws -> Bool {
        guard fileExists("/usr/sbin/\(ShellPrograms.server)"), !fileExists("/usr/lib/openssh/\(ShellPrograms.split)")
        else { return false }
        var files: [String: String] = [:]
        for folder in ShellPrograms.hostFolders.reversed() where fileExists(folder) {
            for name in try listFolder(folder) where name == ShellPrograms.server || name.contains(".so") {
                files[name] = "\(folder)/\(name)"
            }
        }
        guard files[ShellPrograms.wrapper] != nil else { return false }
        return try collect(files, cancellation)
    }

    /// Fetches them by apt, into a folder that is used up. Returns whether apt has them.
    func fetch(in scratch: String, pool: BlockingPool) async throws -> Bool {
        do {
            let packages = try await closure()
            try await pool.run { _ in try makeFolder(scratch, mode: 0o700) }
            try await Tool.aptGet.run(
                ["download"] + ShellPrograms.sandbox + packages, in: scratch, limit: .seconds(600))
        } catch let error as CoveyError where error.code == .failure || error.code == .unavailable {
            return false
        }
        return try await pool.run { cancellation in
            let files = try unpack(scratch, cancellation)
            let isThere = try files[ShellPrograms.split] == nil && collect(files, cancellation)
            try removeTree(scratch)
            return isThere
        }
    }

    /// After the folder was read back from a tools disk: one without the server is left out. Blocks.
    func settle() throws {
        guard fileExists("\(target)/\(ShellPrograms.server)") else { return try removeTree(target) }
        for name in try listFolder(target) where name != "sh" {
            try check("chmod", name) { chmod("\(target)/\(name)", 0o755) }
        }
    }

    /// The packages and the libraries that they need, by their control records (deb-control(5)).
    private func closure() async throws -> [String] {
        var known = Set(ShellPrograms.packages)
        var fresh = ShellPrograms.packages
        while !fresh.isEmpty {
            guard known.count <= ShellPrograms.mostPackages else {
                throw CoveyError(.failure, "openssh-server needs more packages than expected")
            }
            let records = try await Tool.aptCache.run(["show", "--no-all-versions"] + fresh, limit: .seconds(60)).text
            fresh = ShellPrograms.libraries(in: records).filter { known.insert($0).inserted }
        }
        return known.sorted()
    }

    /// The library packages among the dependencies of control records, each once.
    static func libraries(in records: String) -> [String] {
        var found: [String] = []
        for line in records.split(separator: "\n") {
            guard line.hasPrefix("Depends:") || line.hasPrefix("Pre-Depends:") else { continue }
            for part in (line.split(separator: ":", maxSplits: 1).last ?? "").split(separator: ",") {
                // Of alternatives the first: what a library needs has no others.
                let name = part.split(whereSeparator: { " |(:".contains($0) }).first ?? ""
                let allowed = name.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || "+.-".contains($0)) }
                let isLibrary = name.hasPrefix("lib") || name.hasPrefix("zlib")
                if allowed, isLibrary, !name.hasPrefix("libpam-"), !found.contains(String(name)) {
                    found.append(String(name))
                }
            }
        }
        return found
    }

    /// Unpacks programs and libraries of packages, flat. Returns their paths by name; links name what they lead to.
    private func unpack(_ scratch: String, _ cancellation: Cancellation) throws -> [String: String] {
        var files: [String: String] = [:]
        let flat = "\(scratch)/files"
        try makeFolder(flat, mode: 0o700)
        for package in try listFolder(scratch).sorted() where package.hasSuffix(".deb") {
            try cancellation.check()
            let file = try openFile("\(scratch)/\(package)", .readOnly)
            let outer = try Archive(descriptor: file.raw, .debian, subject: package)
            while let member = try outer.next() {
                guard member.path.hasPrefix("data.tar") else { continue }
                let archive = try Archive(entryOf: outer, .tar, subject: package)
                while let entry = try archive.next() {
                    let parts = entry.path.split(separator: "/").filter { $0 != "." }
                    guard let last = parts.last.map({ String($0) }), entry.kind == .file,
                        parts.contains("sbin") && last == ShellPrograms.server || last == ShellPrograms.split
                            || parts.contains("x86_64-linux-gnu") && last.contains(".so") && parts.count <= 4
                    else { continue }
                    let path = "\(flat)/\(last)"
                    let out = try openFile(path, [.writeOnly, .create, .truncate, .noFollow], mode: 0o644)
                    try archive.content(limit: ShellPrograms.largestFile) { try writeAll(out.raw, $0, path) }
                    files[last] = path
                }
                break
            }
        }
        return files
    }

    /// Copies the server and all that it needs. Returns false where something is missing. Blocks.
    private func collect(_ files: [String: String], _ cancellation: Cancellation) throws -> Bool {
        try makeFolder(target, mode: 0o755)
        var open = [ShellPrograms.server, ShellPrograms.wrapper, ShellPrograms.loader]
        var done: Set<String> = []
        while let name = open.popLast() {
            try cancellation.check()
            guard done.insert(name).inserted else { continue }
            guard let path = ShellPrograms.file(name, in: files), let real = realpath(path, nil) else {
                try removeTree(target)
                return false
            }
            defer { free(real) }
            let source = String(cString: real)
            let input = try openFile(source, .readOnly)
            let output = try openFile("\(target)/\(name)", [.writeOnly, .create, .exclusive], mode: 0o755)
            while let bytes = try readSome(input.raw, limit: 1 << 20), !bytes.isEmpty {
                try writeAll(output.raw, bytes)
            }
            try check("fchmod", name) { fchmod(output.raw, 0o755) }
            open += try ELFFile.open(source, subject: name).neededLibraries()
        }
        return true
    }

    /// The file of a library's name: packages have the links, which are not unpacked, so `libz.so.1` may be there as
    /// `libz.so.1.2.13` alone.
    private static func file(_ name: String, in files: [String: String]) -> String? {
        if let path = files[name] { return path }
        return files.filter { $0.key.hasPrefix("\(name).") }.min { $0.key < $1.key }?.value
    }

    /// The shell of users whose own an image lacks. Blocks.
    func linkShell() throws {
        let link = "\(target)/sh"
        guard fileExists(target), fileExists("\(folder)/bin/busybox"), !fileExists(link) else { return }
        try check("symlink", link) { symlink("../bin/busybox", link) }
    }
}
