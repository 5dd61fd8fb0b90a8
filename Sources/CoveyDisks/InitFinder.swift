internal import CoveyModel

/// Finds what a root file system boots with.
struct InitFinder {
    let root: any RootReading

    /// An image's own init; none where it has none that could work.
    func find() async throws -> (path: String?, system: InitSystem) {
        for path in ["/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/sbin/openrc-init"] {
            guard let found = try await root.resolve(path), found.entry.kind == .file, found.entry.mode & 0o111 != 0
            else { continue }
            switch found.path.split(separator: "/").last ?? "" {
            case "systemd": return (path, .systemd)
            case "openrc-init": return (path, .openrc)
            case "busybox":
                // Without a table it would only ask for a shell on consoles that are not there.
                guard let table = try await root.resolve("/etc/inittab"), table.entry.kind == .file,
                    table.entry.size <= 1 << 20
                else { continue }
                let isOpenRC = try await root.text(of: table.path).split(separator: "\n").contains { line in
                    !line.hasPrefix("#") && line.split(whereSeparator: { ":/ ".contains($0) }).contains("openrc")
                }
                guard isOpenRC else { return (path, .busybox) }
                if try await root.isProgram("/sbin/openrc") { return (path, .openrc) }
            case _: return (path, try await root.isProgram("/sbin/openrc") ? .openrc : .other)
            }
        }
        return (nil, .none)
    }

    /// The first shell that is there; nil where there is none.
    func shell() async throws -> String? {
        for path in ["/bin/bash", "/bin/sh"] where try await root.isProgram(path) { return path }
        return nil
    }
}
