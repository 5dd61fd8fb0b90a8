internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What the host is.
struct HostReader: Sendable {
    /// CPUs online.
    let cpus: Int
    /// Memory in all.
    let memory: ByteCount
    /// The kernel's release.
    let release: String
    /// The host's name as a DNS label.
    let name: String
    /// The CPU architecture.
    let architecture: Architecture

    /// Looks at the host. Errors: ``ErrorCode/unsupported`` for a foreign architecture.
    init() throws {
        cpus = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        memory = ByteCount(Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE))))
        release = try HostReader.text("/proc/sys/kernel/osrelease")
        let host = try HostReader.text("/proc/sys/kernel/hostname").lowercased()
        let label = host.prefix { $0 != "." }.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
        let trimmed = String(label.drop { $0 == "-" }.prefix(63))
        name = trimmed.isEmpty || trimmed.last == "-" ? "node" : trimmed
        var names = utsname()
        uname(&names)
        let machine = withUnsafeBytes(of: &names.machine) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard let architecture = Architecture(rawValue: machine) else {
            throw CoveyError(.unsupported, "this host is \(machine); Covey runs on x86_64")
        }
        self.architecture = architecture
    }

    private static func text(_ path: String) throws -> String {
        String(try readText(path).prefix { $0 != "\n" })
    }
}
