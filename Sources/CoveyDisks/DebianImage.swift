internal import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// A Debian suite with systemd, built by mmdebstrap from the host's mirror.
struct DebianImage {
    let suite: String
    let options: DebianOptions
    let pool: BlockingPool

    private static let packages = ["systemd-sysv", "dbus", "iproute2", "procps"]
    private static let hooks = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
    private static let limit = Duration.seconds(1200)
    private static let size = ByteCount.gibibytes(2)
    private static let room = ByteCount.gibibytes(1)
    private static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    private static let uuid = "636f7665-792d-6465-6269-000000000001"

    // Without udev no device unit ever appears, and what waits for one holds the boot up for 90 seconds.
    private static let masked = [
        "getty@tty1.service", "serial-getty@ttyS0.service", "serial-getty@hvc0.service",
        "systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
        "systemd-udev-trigger.service", "systemd-udev-settle.service", "systemd-firstboot.service",
        "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
        "e2scrub_all.timer", "e2scrub_reap.service",
    ]

    // The first would make a getty for every console that the kernel names; the others look for what a machine's disks
    // do not hold, and cost a tenth of an emulated boot.
    private static let maskedGenerators = [
        "getty", "cryptsetup", "gpt-auto", "hibernate-resume", "integritysetup", "system-update", "veritysetup",
    ]

    /// Makes the ext4 file.
    ///
    /// Errors: ``ErrorCode/invalid`` for a bad suite, ``ErrorCode/denied`` where this is not root,
    /// ``ErrorCode/failure`` with mmdebstrap's last lines, ``ErrorCode/deadline`` after 20 minutes.
    func make(
        _ target: String, in staging: String, _ progress: @escaping ProgressHandler
    ) async throws -> ImageConfiguration {
        let suite = try DebianImage.checked(suite)
        guard geteuid() == 0 else {
            throw CoveyError(
                .denied, "a Debian image can only be built by root", remedy: "run the daemon as root",
                retryable: false)
        }
        let root = "\(staging)/root"
        _ = try Tool.mmdebstrap.path()
        try options.check()
        let mirrors =
            if let mirror = options.mirror { ["deb \(mirror) \(suite) main"] } else {
                try await DebianMirrors.host().sources(for: suite)
            }
        progress("packages", nil, nil, nil)
        try await install(suite, mirrors, into: root, progress)
        progress("files", nil, nil, nil)
        let content = try await pool.run { cancellation in
            try settle(RootTree(folder: root))
            try putKeys(RootTree(folder: root))
            return try Ext4Builder.measure(root, cancellation)
        }
        progress("image", nil, nil, nil)
        let needed = ByteCount(Ext4Builder.tightSize(of: content).bytes + DebianImage.room.bytes)
        let size = max(DebianImage.size, ByteCount(((needed.bytes >> 26) + 1) << 26))
        let builder = Ext4Builder(label: "covey-debian", uuid: DebianImage.uuid, readOnly: false)
        try await builder.make(
            target, from: root, size: size, inodes: max(131_072, content.inodes * 2), options: ["-J", "size=16"],
            pool: pool)
        try await pool.run { _ in try removeTree(root) }
        return ImageConfiguration(
            command: ["/bin/bash"], environment: ["PATH": DebianImage.path], initPath: "/sbin/init",
            initSystem: .systemd)
    }

    /// A suite's name, which stands in arguments and paths. Errors: ``ErrorCode/invalid``.
    static func checked(_ suite: String) throws(CoveyError) -> String {
        let allowed = suite.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-") }
        guard allowed, suite.first?.isLowercase == true, suite.utf8.count <= 32 else {
            throw CoveyError(
                .invalid, "\(suite) is no Debian suite", remedy: "use a name such as bookworm, trixie or sid")
        }
        return suite
    }

    private func install(
        _ suite: String, _ mirrors: [String], into root: String, _ progress: @escaping ProgressHandler
    ) async throws {
        let count = Atomic<Int64>(0)
        let complaints = Mutex(AptComplaints())
        let excluded = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"]
        let options =
            [
                "--verbose", "--mode=root", "--format=directory", "--variant=minbase",
                "--include=\((DebianImage.packages + options.packages).joined(separator: ","))",
                // Saves perl, which only the usrmerge package wants.
                "--hook-dir=\(DebianImage.hooks)",
                // The host's file system is not what a crash must not hurt: the image is made whole or not at all.
                "--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Languages \"none\"",
            ] + excluded.map { "--dpkgopt=path-exclude=\($0)" } + ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        // Namespaces of its own: what it mounts never shows here, and no child outlives it.
        let arguments =
            ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
            + [try Tool.mmdebstrap.path()] + options + [suite, root] + mirrors
        do {
            try await Tool.unshare.run(arguments, limit: DebianImage.limit, outputLimit: 64 << 20) { line in
                complaints.withLock { $0.hear(line) }
                guard line.hasPrefix("Setting up ") else { return }
                progress("packages", count.add(1, ordering: .relaxed).newValue, nil, "packages")
            }
        } catch let error as CoveyError where error.code == .failure {
            throw CoveyError(
                .failure, "mmdebstrap could not build Debian \(suite)",
                remedy: "check the names of suite and packages, and that the mirror can be reached",
                cause: ToolMessage(description: complaints.withLock { $0.shortened(error.causes) }))
        }
    }

    private func putKeys(_ tree: RootTree) throws {
        guard !options.sshKeys.isEmpty else { return }
        try tree.makeFolders(["root/.ssh"], mode: 0o700)
        try tree.write("root/.ssh/authorized_keys", options.sshKeys.map { "\($0)\n" }.joined(), mode: 0o600)
    }

    private func settle(_ tree: RootTree) throws {
        for unit in DebianImage.masked { try tree.link("etc/systemd/system/\(unit)", to: "/dev/null") }
        for name in DebianImage.maskedGenerators {
            try tree.link("etc/systemd/system-generators/systemd-\(name)-generator", to: "/dev/null")
        }
        try tree.link("etc/systemd/system/default.target", to: "/lib/systemd/system/multi-user.target")
        // A login on the serial console; the one of its kind that waits for no device unit.
        try tree.link(
            "etc/systemd/system/getty.target.wants/console-getty.service",
            to: "/lib/systemd/system/console-getty.service")
        try tree.write("etc/hostname", "")
        // Empty, not "uninitialized": the first boot then makes an id without asking questions on the console.
        try tree.write("etc/machine-id", "")
        try tree.write("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
        try tree.write("etc/resolv.conf", "")
        try tree.write("etc/fstab", "")
        try tree.makeFolders(["lib/modules"].filter { !fileExists("\(tree.folder)/\($0)") })
        try removeFile("\(tree.folder)/var/lib/dbus/machine-id")
        for name in try listFolder("\(tree.folder)/var/log") where name.hasSuffix(".log") {
            try removeFile("\(tree.folder)/var/log/\(name)")
        }
    }
}
