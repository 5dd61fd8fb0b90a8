internal import Glibc

/// Where QEMU's program is.
enum QEMUBinary {
    /// The program's name.
    static let name = "qemu-system-x86_64"

    /// A path that can be run: the given one, or the first in `PATH`; nil where there is none.
    static func find(_ given: String?) -> String? {
        if let given { return access(given, X_OK) == 0 ? given : nil }
        let search = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        return search.split(separator: ":").lazy.map { "\($0)/\(name)" }
            .first { $0.hasPrefix("/") && access($0, X_OK) == 0 }
    }
}
