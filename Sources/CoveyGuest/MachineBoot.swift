internal import CCovey
package import CoveyGuestProtocol
package import CoveyModel
package import CoveySystem
internal import Glibc

/// What was found and done on the way from the kernel's start to the root file system.
package struct MachineBoot {
    /// When the stages were reached.
    package private(set) var timings = GuestBootTimings()
    /// What kept the root file system from being mounted.
    package private(set) var problem: CoveyError?

    /// How long disks and the channel may take to appear.
    private static let patience = Duration.seconds(10)

    /// Prepares the machine: devices, modules, disks, root. Never fails: what goes wrong is on the console and in
    /// ``problem``.
    package static func run() -> MachineBoot {
        var boot = MachineBoot()
        boot.timings.agentStarted = .nanoseconds(covey_since_boot())
        for (type, path) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
            attempt { () throws(SystemError) in
                try makeFolder(path, mode: 0o755)
                try mountFileSystem(type, type, path)
            }
        }
        openConsole()
        loadModules("/covey/modules")
        if hasNetworkDevice { loadModules("/covey/network") }
        boot.timings.modulesLoaded = .nanoseconds(covey_since_boot())
        do throws(SystemError) {
            try mountRoot()
            boot.timings.rootMounted = .nanoseconds(covey_since_boot())
        } catch {
            agentLog("\(error)")
            boot.problem = CoveyError(
                error.isErrno(ENODEV) ? .notFound : .failure, "the guest could not mount its root disk: \(error)",
                remedy: "look at the machine's console (covey logs --console)")
        }
        return boot
    }

    /// The channel to the host: the virtio-serial port named `covey.0`.
    package static func openChannel() throws(SystemError) -> FileDescriptor {
        let path = try awaitThing("virtio-serial port covey.0") {
            for port in (try? listFolder("/sys/class/virtio-ports")) ?? [] {
                let name = try? readText("/sys/class/virtio-ports/\(port)/name")
                if name?.trimmed == "covey.0" && fileExists("/dev/\(port)") { return "/dev/\(port)" }
            }
            return nil
        }
        return try openFile(path, [.readWrite, .nonBlocking])
    }

    private static func openConsole() {
        let console = open("/dev/console", O_RDWR | O_NOCTTY)
        guard console >= 0 else { return }
        for descriptor in Int32(0)...2 where descriptor != console { dup2(console, descriptor) }
        if console > 2 { close(console) }
    }

    /// Whether the host gave the machine a network device. Source: Virtual I/O Device specification, 5: its number is 1.
    private static var hasNetworkDevice: Bool {
        let bus = "/sys/bus/virtio/devices"
        return ((try? listFolder(bus)) ?? []).contains { name in
            ((try? readText("\(bus)/\(name)/device"))?.trimmed).map { $0 == "0x0001" } ?? false
        }
    }

    private static func loadModules(_ path: String) {
        guard let list = try? readText(path) else { return }
        for line in list.utf8.split(separator: UInt8(ascii: "\n")) {
            let name = Substring(line).trimmed
            guard !name.isEmpty else { continue }
            attempt { () throws(SystemError) in
                let file = try openFile(name.utf8.first == UInt8(ascii: "/") ? name : "/" + name, .readOnly)
                if covey_load_module(file.raw) != 0 && errno != EEXIST { throw SystemError("finit_module", name) }
            }
        }
    }

    private static func mountRoot() throws(SystemError) {
        let root = try awaitDisk("covey-root")
        let readOnly = ((try? readText("/proc/cmdline")) ?? "").utf8.split(separator: UInt8(ascii: " "))
            .contains { Substring($0).trimmed == "covey.root=ro" }
        try makeFolder("/newroot", mode: 0o755)
        try mountFileSystem(root, "ext4", "/newroot", readOnly ? COVEY_MOUNT_READ_ONLY : 0)
        if !readOnly {
            attempt { () throws(SystemError) in try FileSystemGrowth.run(disk: root, mountedAt: "/newroot") }
        }
        attempt { () throws(SystemError) in try removeTree("/covey") }
        for folder in ["dev", "proc", "sys", "run", "tmp"] {
            if !fileExists("/newroot/\(folder)") {
                attempt { () throws(SystemError) in try makeFolder("/newroot/\(folder)", mode: 0o755) }
            }
        }
        for folder in ["dev", "proc", "sys"] {
            attempt { () throws(SystemError) in
                try mountFileSystem("/\(folder)", nil, "/newroot/\(folder)", COVEY_MOUNT_MOVE)
            }
        }
        try check("chdir", "/newroot") { chdir("/newroot") }
        try mountFileSystem(".", nil, "/", COVEY_MOUNT_MOVE)
        try check("chroot") { chroot(".") }
        try check("chdir", "/") { chdir("/") }
        let quiet = COVEY_MOUNT_NO_SUID | COVEY_MOUNT_NO_DEV
        attempt { () throws(SystemError) in try mountFileSystem("tmpfs", "tmpfs", "/run", quiet, "mode=755") }
        attempt { () throws(SystemError) in
            try makeFolder("/dev/pts", mode: 0o755)
            try mountFileSystem(
                "devpts", "devpts", "/dev/pts", COVEY_MOUNT_NO_SUID | COVEY_MOUNT_NO_EXEC,
                "gid=5,mode=620,ptmxmode=666")
        }
        attempt { () throws(SystemError) in try mountTools() }
        MachineDisks.nameDevices()
    }

    private static func mountTools() throws(SystemError) {
        let disk = try awaitDisk("covey-tools")
        let tools = "/run/covey/tools"
        try makeFolder(tools, mode: 0o755)
        try mountFileSystem(disk, "ext4", tools, COVEY_MOUNT_READ_ONLY | COVEY_MOUNT_NO_DEV | COVEY_MOUNT_NO_SUID)
        useToolsModprobe()
        let release = kernelRelease
        let tree =
            fileExists("\(tools)/modules/\(release)") ? "\(tools)/modules/\(release)" : "\(tools)/modules"
        guard fileExists(tree) else { return }
        let seen = "/lib/modules/\(release)"
        try makeFolder(seen, mode: 0o755)
        try mountFileSystem(tree, nil, seen, COVEY_MOUNT_BIND)
    }

    /// Lets the kernel load what is asked of it (a file system, a kind of link) also where the image has no modprobe.
    private static func useToolsModprobe() {
        guard !fileExists("/sbin/modprobe"), !fileExists("/usr/sbin/modprobe"), fileExists("\(toolPrograms)/modprobe")
        else { return }
        attempt { () throws(SystemError) in
            let setting = try openFile("/proc/sys/kernel/modprobe", .writeOnly)
            try writeAll(setting.raw, Array("\(toolPrograms)/modprobe\n".utf8))
        }
    }

    /// What `uname -r` prints.
    package static var kernelRelease: String { ((try? readText("/proc/sys/kernel/osrelease")) ?? "").trimmed }

    /// The kernel's random name of this boot.
    package static var bootID: String { ((try? readText("/proc/sys/kernel/random/boot_id")) ?? "").trimmed }

    static func awaitDisk(_ serial: String) throws(SystemError) -> String {
        try awaitThing("disk with serial \(serial)") {
            for disk in (try? listFolder("/sys/block")) ?? [] {
                let found = try? readText("/sys/block/\(disk)/serial")
                if found?.trimmed == serial && fileExists("/dev/\(disk)") { return "/dev/\(disk)" }
            }
            return nil
        }
    }

    /// Looks until something is there. Errors: `ENODEV` when it has not come in time.
    private static func awaitThing(_ what: String, _ look: () -> String?) throws(SystemError) -> String {
        let end = ContinuousClock.now + patience
        var pause: UInt32 = 500
        while true {
            if let found = look() { return found }
            guard ContinuousClock.now < end else { throw SystemError("find", what, errno: ENODEV) }
            // The machine boots here: its one thread has nothing else to do.
            usleep(pause)
            pause = min(pause * 2, 20_000)
        }
    }
}

/// Mounts a file system. `type` nil moves, binds or remounts.
func mountFileSystem(
    _ source: String, _ type: String?, _ target: String, _ flags: UInt = 0, _ data: String? = nil
) throws(SystemError) {
    if covey_mount(source, target, type, flags, data) != 0 { throw SystemError("mount", "\(source) on \(target)") }
}

/// Does something whose failure the machine can live with; it is on the console then.
func attempt(_ body: () throws(SystemError) -> Void) {
    do throws(SystemError) { try body() } catch { agentLog("\(error)") }
}

extension StringProtocol {
    /// Without spaces, tabs and newlines around.
    var trimmed: String {
        // By bytes: what is a character takes tables that a machine's boot is not to wait for.
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        let bytes = utf8
        guard let first = bytes.firstIndex(where: { !isSpace($0) }) else { return "" }
        var end = bytes.endIndex
        while case let before = bytes.index(end, offsetBy: -1), isSpace(bytes[before]) { end = before }
        return String(self[first..<end])
    }
}
