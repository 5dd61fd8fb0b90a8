import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Images of files, folders and machines", .tags(.machine), .serialized, .host)
struct ImageSourceTests {
    private static let modules = ["overlay", "nf_tables", "tun", "wireguard", "dm-snapshot"]

    /// A root file system of busybox with these programs, as a folder.
    static func makeTree(_ folder: String, applets: [String] = ["sh", "cat", "echo", "id", "ls", "mount"]) async throws
    {
        for name in ["bin", "etc", "home"] { try makeFolder("\(folder)/\(name)", mode: 0o755) }
        let copy = try await runProgram("cp", ["/bin/busybox", "\(folder)/bin/busybox"])
        guard copy.code == 0 else { throw CoveyError(.unavailable, "no busybox: \(copy)") }
        for name in applets { try check("symlink", name) { symlink("busybox", "\(folder)/bin/\(name)") } }
        try writeFileAtomically(
            "\(folder)/etc/passwd", Array("root:x:0:0::/:/bin/sh\nweb:x:7:7::/home:/bin/sh\n".utf8), mode: 0o644)
        try writeFileAtomically("\(folder)/etc/mark", Array("registered\n".utf8), mode: 0o640)
        try check("chown", folder) { chown("\(folder)/etc/mark", 7, 7) }
    }

    /// That folder as an ext4 file.
    static func makeFileSystem(_ path: String, from tree: String) async throws {
        let made = try await runProgram("mke2fs", ["-q", "-t", "ext4", "-d", tree, path, "48M"])
        guard made.code == 0 else { throw CoveyError(.failure, "\(made)") }
    }

    private func makeRoot(_ host: TestHost, _ name: String) async throws -> (tree: String, file: String) {
        let tree = "\(host.folder)/\(name)"
        try await Self.makeTree(tree)
        try await Self.makeFileSystem("\(tree).ext4", from: tree)
        return (tree, "\(tree).ext4")
    }

    @Test("an ext4 file, a qcow2 disk, a packed archive and a folder become images that boot and run the same")
    func registered() async throws {
        let host = try await TestHost.current()
        let (tree, file) = try await makeRoot(host, "tree")
        for arguments in [
            ["qemu-img", "convert", "-O", "qcow2", file, "\(tree).qcow2"],
            ["tar", "-C", tree, "-cJf", "\(tree).tar.xz", "."],
        ] {
            let made = try await runProgram("env", arguments)
            #expect(made.code == 0, "\(made)")
        }
        for (name, source) in [
            ("of-file", file), ("of-disk", "\(tree).qcow2"), ("of-archive", "\(tree).tar.xz"), ("of-folder", tree),
        ] {
            try await host.succeed(
                "image", "register", name, source, "--cmd", "/bin/sh", "--cmd", "-c", "--cmd",
                "cat /etc/mark; id -u; echo $GREETING; ls -ln /etc/mark", "--env", "GREETING=hello", "--user", "web")
            let ran = try await host.succeed("run", "--rm", name)
            #expect(ran.lines.prefix(3) == ["registered", "7", "hello"], "\(name): \(ran)")
            #expect(ran.lines.last?.hasPrefix("-rw-r-----    1 7        7") == true, "\(name): \(ran)")
        }
        #expect(try listFolder("\(host.root)/images/.uploads").isEmpty)
    }

    @Test("in a machine whose image has no modprobe the drivers load all the same, also by themselves")
    func modulesWithoutModprobe() async throws {
        let host = try await TestHost.current()
        let (_, file) = try await makeRoot(host, "bare")
        try await host.succeed("image", "register", "bare", file)
        try await host.succeed("vm", "create", "--name", "bare", "bare")
        for name in Self.modules {
            let loaded = try await host.run("exec", "bare", "--", "modprobe", name)
            #expect(loaded.code == 0, "\(name): \(loaded)")
        }
        let seen = try await host.succeed("exec", "bare", "--", "cat", "/proc/modules").text
        for name in Self.modules {
            let module = String(name.map { $0 == "-" ? "_" : $0 })
            #expect(seen.contains("\(module) "), "\(module)")
        }
        // What nobody has loaded: the kernel asks for it.
        let mounted = try await host.run(
            "exec", "bare", "--", "sh", "-c", "mount -t squashfs none /home; cat /proc/modules")
        #expect(mounted.text.contains("squashfs "), "\(mounted)")
        try await host.succeed("vm", "rm", "-f", "bare")
    }

    @Test("in a machine of busybox its own modprobe loads the drivers")
    func modulesWithModprobe() async throws {
        let host = try await TestHost.current()
        let script = Self.modules.map { "modprobe \($0) || echo no \($0)" }.joined(separator: "; ")
        let ran = try await host.succeed("run", "--rm", "busybox", "--", "sh", "-c", "\(script); cat /proc/modules")
        #expect(!ran.lines.contains { $0.hasPrefix("no ") }, "\(ran)")
        #expect(ran.text.contains("dm_snapshot ") && ran.text.contains("wireguard "), "\(ran)")
    }

    @Test("a stopped machine's disk becomes an image; one that runs is a conflict with a hint")
    func promoted() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "source", "busybox")
        try await host.succeed("exec", "source", "--", "sh", "-c", "echo changed > /etc/mark; sync")
        let early = try await host.run("image", "promote", "source", "golden:1")
        #expect(early.code == 4 && early.isClearError, "\(early)")
        #expect(early.error.contains("covey vm stop source"), "\(early)")
        try await host.succeed("vm", "stop", "source")
        try await host.succeed("image", "promote", "source", "golden:1")
        // The machine itself goes on as before.
        try await host.succeed("vm", "start", "source")
        try await host.succeed("vm", "rm", "-f", "source")
        #expect(try await host.succeed("run", "--rm", "golden:1", "--", "cat", "/etc/mark").text == "changed\n")
    }

    @Test(
        "what is no root file system is refused clearly, and nothing of it stays",
        arguments: ["text", "empty", "cut", "backed", "nosuch", "program"])
    func refused(_ kind: String) async throws {
        let host = try await TestHost.current()
        let path = "\(host.folder)/\(kind)"
        switch kind {
        case "text": try writeFileAtomically(path, Array("hello".utf8), mode: 0o644)
        case "empty": try writeFileAtomically(path, [], mode: 0o644)
        case "cut":
            let (_, file) = try await makeRoot(host, "whole")
            try writeFileAtomically(path, Array(try readFile(file).prefix(6 << 20)), mode: 0o644)
        case "backed":
            _ = try await runProgram(
                "qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", path])
        case "program": _ = try await runProgram("cp", ["/bin/busybox", path])
        default: break
        }
        let before = try await host.succeed("image", "ls", "-q").lines
        let outcome = try await host.run("image", "register", "bad", path)
        #expect([1, 2, 3].contains(outcome.code) && outcome.isClearError, "\(outcome)")
        #expect(try await host.succeed("image", "ls", "-q").lines == before)
        let uploads = "\(host.root)/images/.uploads"
        #expect(try !fileExists(uploads) || listFolder(uploads).isEmpty)
        #expect(try !listFolder("\(host.root)/images").contains { $0.hasPrefix(".new-") })
    }

    @Test("a daemon that is killed while an image is sent or made leaves nothing half-made, and what was sent is made")
    func killed() async throws {
        let host = try await TestHost.current()
        let (tree, file) = try await makeRoot(host, "kill")
        let uploads = "\(host.root)/images/.uploads"
        // In the middle of the sending.
        let large = try await runProgram("sh", ["-c", "yes | head -c 1500M > \(tree).large"])
        #expect(large.code == 0, "\(large)")
        let client = try Child(
            [host.programs.covey, "image", "register", "large", "\(tree).large"],
            environment: ["COVEY_HOST": host.socket], log: "\(host.folder)/client.log")
        try await eventually("something arrives") { try fileExists(uploads) && !listFolder(uploads).isEmpty }
        try await host.killDaemon()
        try await eventually("the client has given up") { try client.ending() != nil }
        try await host.start()
        #expect(try listFolder(uploads).isEmpty)
        #expect(try await host.run("image", "inspect", "large").code == 3)
        // When all was sent.
        for turn in 1...3 {
            try await host.succeed("image", "register", "-d", "sent\(turn)", file)
            try await host.killDaemon()
            try await host.start()
            try await eventually("image sent\(turn) is ready") {
                try await host.succeed("image", "inspect", "sent\(turn)", "-o", "json").text.contains("\"ready\"")
            }
        }
        #expect(try listFolder(uploads).isEmpty)
        #expect(try !listFolder("\(host.root)/images").contains { $0.hasPrefix(".new-") || $0.hasPrefix(".gone-") })
    }

    @Test("a kernel's own folder of modules is taken with a boot image, and inspect says what it has")
    func kernelWithModules() async throws {
        let host = try await TestHost.current()
        let folder = "\(host.folder)/package"
        let unpacked = try await runProgram("dpkg-deb", ["-x", host.programs.kernelPackage, folder])
        #expect(unpacked.code == 0, "\(unpacked)")
        let release = try #require(try listFolder("\(folder)/lib/modules").first)
        try await host.succeed(
            "kernel", "import", "--name", "own", "--no-default", "--modules", "\(folder)/lib/modules/\(release)",
            "\(folder)/boot/vmlinuz-\(release)", limit: .seconds(180))
        let text = try await host.succeed("kernel", "inspect", "own", "-o", "json").text
        #expect(text.contains("\"\(release)\""))
        for name in ["virtio_blk", "wireguard", "dm_snapshot"] { #expect(text.contains("\"\(name)\""), "\(name)") }
        #expect(text.contains("\"qemu\""))
        let ran = try await host.succeed("run", "--rm", "--kernel", "own", "busybox", "--", "modprobe", "overlay")
        #expect(ran.code == 0)
        // Ubuntu's layout: the kernel in one package, its modules in another; here in one folder, as an archive.
        try await host.succeed(
            "kernel", "import", "--name", "collected", "--no-default", folder, limit: .seconds(180))
        try await host.succeed("run", "--rm", "--kernel", "collected", "busybox", "--", "modprobe", "wireguard")
        // Without its modules a boot image cannot reach its disk.
        let bare = try await host.run(
            "kernel", "import", "--name", "bare", "--no-default", "\(folder)/boot/vmlinuz-\(release)",
            limit: .seconds(180))
        if bare.code == 0 { try await host.succeed("kernel", "rm", "bare") }
    }
}
