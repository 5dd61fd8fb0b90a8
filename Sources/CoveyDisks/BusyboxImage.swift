internal import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The built-in image: Debian's static busybox, and nothing else. The same busybox gives the same bytes.
struct BusyboxImage {
    let pool: BlockingPool

    private static let program = "/bin/busybox"
    private static let uuid = "636f7665-792d-6275-7379-000000000001"
    private static let size = ByteCount.mebibytes(32)
    private static let inodes: Int64 = 4096
    private static let remedy = "run: apt-get install busybox-static"
    private static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// Makes the ext4 file. Errors: ``ErrorCode/unavailable`` where the host has no static busybox.
    func make(
        _ target: String, in staging: String, _ progress: @escaping ProgressHandler
    ) async throws -> ImageConfiguration {
        progress("files", nil, nil, nil)
        let applets = try await applets()
        let root = "\(staging)/root"
        let builder = Ext4Builder(label: "covey-busybox", uuid: BusyboxImage.uuid, readOnly: false)
        let content = try await pool.run { cancellation in
            try fill(RootTree(folder: root), applets)
            let content = try Ext4Builder.measure(root, cancellation)
            try RootTree(folder: root).settleTimes(content.paths)
            return content
        }
        progress("image", nil, nil, nil)
        try await builder.make(
            target, from: root, size: BusyboxImage.size, inodes: BusyboxImage.inodes, options: ["-J", "size=4"],
            pool: pool)
        try await builder.settleTimes(target, content, script: "\(staging)/times", pool: pool)
        try await pool.run { _ in try removeTree(root) }
        return ImageConfiguration(command: ["/bin/sh"], environment: ["PATH": BusyboxImage.path])
    }

    private func applets() async throws -> [String] {
        let missing = CoveyError(
            .unavailable, "there is no static \(BusyboxImage.program)", remedy: BusyboxImage.remedy, retryable: false)
        try await pool.run { _ in
            guard fileExists(BusyboxImage.program) else { throw missing }
            guard let path = realpath(BusyboxImage.program, nil) else { throw missing }
            defer { free(path) }
            do { try ELFFile.open(String(cString: path), subject: BusyboxImage.program).requireStatic() } catch let
                error as CoveyError where error.code == .invalid
            { throw missing }
        }
        let tool = Tool(name: "busybox", package: "busybox-static")
        let lines = try await tool.run(["--list-full"], limit: .seconds(10)).text.split(separator: "\n")
        let applets = lines.map(String.init).filter { line in
            !line.hasPrefix("/") && !line.split(separator: "/").contains("..") && line != "bin/busybox"
                // What would answer for an init or reboot by a way of its own: the agent is PID 1.
                && !["linuxrc", "sbin/init", "init"].contains(line)
        }
        guard !applets.isEmpty else { throw missing }
        return applets
    }

    private func fill(_ tree: RootTree, _ applets: [String]) throws {
        try tree.makeFolders([
            "", "bin", "sbin", "etc", "dev", "proc", "sys", "run", "mnt", "home", "opt", "srv", "lib", "lib/modules",
            "usr", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/share", "var", "var/log",
            "var/lib", "var/cache", "var/spool",
        ])
        try tree.makeFolders(["root"], mode: 0o700)
        try tree.makeFolders(["tmp", "var/tmp"], mode: 0o1777)
        let program = try openFile(BusyboxImage.program, .readOnly)
        let copy = try openFile("\(tree.folder)/bin/busybox", [.writeOnly, .create, .exclusive], mode: 0o755)
        while let bytes = try readSome(program.raw, limit: 1 << 20), !bytes.isEmpty { try writeAll(copy.raw, bytes) }
        try check("fchmod", "busybox") { fchmod(copy.raw, 0o755) }
        for applet in applets { try tree.link(applet, to: BusyboxImage.program) }
        try tree.link("var/run", to: "/run")
        try tree.link("etc/mtab", to: "/proc/self/mounts")
        try tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        try tree.write("etc/group", "root:x:0:\nnogroup:x:65534:\n")
        try tree.write("etc/shadow", "root:*:0::::::\nnobody:*:0::::::\n", mode: 0o640)
        try tree.write("etc/shells", "/bin/sh\n/bin/ash\n")
        try tree.write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        try tree.write("etc/resolv.conf", "")
        try tree.write("etc/hostname", "")
        try tree.write("etc/fstab", "")
        try tree.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        try tree.write("etc/profile", "export PATH=\(BusyboxImage.path)\nPS1='\\u@\\h:\\w\\$ '\n")
        try tree.write(
            "etc/os-release",
            "NAME=\"Covey busybox\"\nID=covey-busybox\nID_LIKE=busybox\nPRETTY_NAME=\"Covey busybox\"\n")
    }
}
