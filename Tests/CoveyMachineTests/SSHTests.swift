import CoveyModel
import CoveySystem
import FoundationEssentials
import Glibc
import Testing

/// OpenSSH's own client against machines without a network: whatever it does goes through the guest channel.
@Suite("ssh", .tags(.machine), .serialized, .host)
struct SSHTests {
    @Test("ssh, scp, sftp, a terminal, forwards and exit codes work in busybox, which has no ssh server")
    func busybox() async throws {
        let user = try await SSHUser.ofSuite()
        let host = user.host
        try await host.succeed("vm", "create", "--name", "box", "busybox", "--env", "GREETING=\"a\\b\" 'c'")
        #expect(try await user.ssh("box.vm", "id -un; echo \"$GREETING\"").text == "root\n\"a\\b\" 'c'\n")
        #expect(try await user.ssh("box.vm", "exit 7").code == 7)
        let nobody = try await user.ssh("nobody-there@box.vm", "id")
        #expect(nobody.code == 255)
        #expect(nobody.error.contains("error: the machine has no user nobody-there"), "\(nobody)")
        // Of ours nothing is on the disk, and nothing of the server's is in the session.
        let clean = try await user.ssh("box.vm", "env; ls -A /etc /var/log /root; cat /proc/self/maps")
        #expect(clean.code == 0)
        for trace in ["NSS_WRAPPER", "LD_", "covey", "sshd"] {
            #expect(!clean.text.contains(trace), "\(trace): \(clean)")
        }

        let part = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        #expect(try await user.ssh("box.vm", "cat", input: part).bytes == part)
        var sent: [UInt8] = []
        for number in UInt8(0)..<10 { sent += part + [number] }
        let (from, to) = ("\(user.folder)/sent", "\(user.folder)/back")
        try writeFileAtomically(from, sent)
        #expect(try await user.program("scp", ["-q", from, "box.vm:/root/file"], limit: .seconds(180)).code == 0)
        #expect(try await user.program("scp", ["-q", "box.vm:/root/file", to], limit: .seconds(180)).code == 0)
        #expect(try readFile(to) == sent)
        let batch = Array("ls -l /root\nrename /root/file /root/other\nmkdir /root/folder\n".utf8)
        let sftp = try await user.program("sftp", ["-q", "-b", "-", "box.vm"], input: batch)
        #expect(sftp.code == 0 && sftp.text.contains("file"), "\(sftp)")
        #expect(try await user.ssh("box.vm", "ls /root").text == "folder\nother\n")
        let terminal = try await user.program("ssh", ["-tt", "box.vm", "tty"], input: [])
        #expect(terminal.text.hasPrefix("/dev/pts/"), "\(terminal)")

        let rsync = try await user.program("rsync", [from, "box.vm:/root/"])
        #expect(rsync.code != 0 && rsync.error.contains("rsync"), "\(rsync)")
        try await host.succeed("vm", "rm", "-f", "box")
    }

    @Test("covey ssh passes the exit code, and its own failures are 125 with one error")
    func verb() async throws {
        let user = try await SSHUser.ofSuite()
        let host = user.host
        try await host.succeed("vm", "create", "--name", "verb", "busybox")
        #expect(try await user.covey("ssh", "verb", "--", "echo", "hello;", "exit", "3").code == 3)
        #expect(try await user.covey("ssh", "root@verb.vm", "--", "id", "-u").text == "0\n")
        let unknown = try await user.covey("ssh", "nobody", "--", "true")
        #expect(unknown.code == 125 && unknown.error.contains("error: "), "\(unknown)")
        let gone = try await user.ssh("nobody.vm", "true")
        #expect(gone.code == 255)
        #expect(gone.error.split(separator: "\n").filter { $0.hasPrefix("error: ") }.count == 1, "\(gone)")
        try await host.succeed("vm", "stop", "verb")
        let stopped = try await user.covey("ssh", "verb", "--", "true")
        #expect(stopped.code == 125 && stopped.isClearError, "\(stopped)")
        try await host.succeed("vm", "rm", "-f", "verb")
    }

    @Test("a port of the machine is forwarded by -L, and of two machines each is itself")
    func forwards() async throws {
        let user = try await SSHUser.ofSuite()
        let host = user.host
        for name in ["one", "two"] { try await host.succeed("vm", "create", "--name", name, "busybox") }
        #expect(try await user.ssh("one.vm", "hostname").text == "one\n")
        #expect(try await user.ssh("two.vm", "hostname").text == "two\n")
        let serve = "mkdir /w && echo pong > /w/index.html && httpd -p 127.0.0.1:7007 -h /w"
        #expect(try await user.ssh("one.vm", serve).code == 0)
        let socket = "\(user.folder)/forward"
        let tunnel = try user.start("ssh", ["-N", "-L", "\(socket):127.0.0.1:7007", "one.vm"])
        try await eventually("the forward answers") {
            try await user.program("curl", ["-s", "--unix-socket", socket, "http://one/"]).text == "pong\n"
        }
        try tunnel.send(SIGTERM)
        _ = try await tunnel.end(within: .seconds(20))
        for name in ["one", "two"] { try await host.succeed("vm", "rm", "-f", name) }
    }

    @Test("another host key than the one of its birth is refused; a machine made anew or renamed is known at once")
    func hostKeys() async throws {
        let user = try await SSHUser.ofSuite()
        let host = user.host
        try await host.succeed("vm", "create", "--name", "key", "busybox")
        #expect(try await user.ssh("key.vm", "true").code == 0)
        let first = try await user.covey("ssh-known-hosts", "key.vm").text
        #expect(first.hasPrefix("key.vm ssh-ed25519 AAAA"))
        let id = try await host.inspect("key").id
        let file = "\(host.root)/vms/\(id)/ssh-host-key"
        #expect(try FileFacts(file).mode & 0o777 == 0o600)

        // Somebody else's key in its place.
        let stranger = SSHKeyPair.stranger
        let own = try readFile(file)
        try writeFileAtomically(file, Array("\(stranger.publicLine)\n\(stranger.privateText)".utf8), mode: 0o600)
        let refused = try await user.ssh("key.vm", "echo in")
        #expect(refused.code == 255 && refused.text.isEmpty)
        #expect(refused.error.contains("Host key verification failed"), "\(refused)")
        try writeFileAtomically(file, own, mode: 0o600)
        #expect(try await user.ssh("key.vm", "true").code == 0)

        try await host.succeed("vm", "rename", "key", "lock")
        #expect(try await user.ssh("lock.vm", "true").code == 0)
        #expect(try await user.covey("ssh-known-hosts", "lock.vm").text.dropFirst(8) == first.dropFirst(7))
        try await host.succeed("vm", "restart", "lock")
        try await host.ready("lock")
        #expect(try await user.ssh("lock.vm", "true").code == 0)
        try await host.succeed("vm", "rm", "-f", "lock")
        try await host.succeed("vm", "create", "--name", "lock", "busybox")
        let again = try await user.ssh("lock.vm", "true")
        #expect(again.code == 0 && again.error.isEmpty, "\(again)")
        #expect(try await user.covey("ssh-known-hosts", "lock.vm").text.dropFirst(8) != first.dropFirst(7))
        #expect(!(try String(decoding: readFile(host.log), as: UTF8.self)).contains("PRIVATE KEY"))
        try await host.succeed("vm", "rm", "-f", "lock")
    }

    @Test("sessions at once all get their own answer, and a client that is killed leaves nothing in the guest")
    func many() async throws {
        let user = try await SSHUser.ofSuite()
        let host = user.host
        try await host.succeed("vm", "create", "--name", "many", "--memory", "512M", "busybox")
        let count = Soak.count(6, soak: 20)
        let answers = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<count {
                group.addTask { try await user.ssh("many.vm", "echo \(number)", limit: .seconds(180)).text }
            }
            var answers: Set<String> = []
            for try await answer in group { answers.insert(answer) }
            return answers
        }
        #expect(answers == Set((0..<count).map { "\($0)\n" }))
        let client = try user.start("ssh", ["many.vm", "sleep 4242"])
        try await eventually("the program runs") { try await running("sleep 4242", host) }
        try client.send(SIGKILL)
        _ = try await client.end(within: .seconds(10))
        try await eventually("the program is gone") { try await !running("sleep 4242", host) }
        try await eventually("no server is left") { try await !running("tools/ssh/sshd", host) }
        #expect(try await host.succeed("exec", "many", "--", "ls", "/run/covey/ssh").text.contains("keys-") == false)
        // What nohup does; this busybox has none.
        let script = "(trap '' HUP; exec sleep 4343 >/dev/null 2>&1 </dev/null) & sleep 1"
        let kept = try await user.ssh("many.vm", script)
        #expect(kept.code == 0)
        #expect(try await running("sleep 4343", host))
        #expect(try await host.succeed("exec", "ls", "-q", "many").text.contains("ssh-") == false)
        try await host.succeed("vm", "rm", "-f", "many")
    }

    private func running(_ what: String, _ host: TestHost) async throws -> Bool {
        // Brackets keep grep from finding itself.
        let pattern = "[\(what.prefix(1))]\(what.dropFirst())"
        let script =
            "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done 2>/dev/null | grep -q '\(pattern)'"
        return try await host.run("exec", "many", "--", "sh", "-c", script).code == 0
    }
}

/// What needs an image built from packages: too long for the gate, and run by a soak.
@Suite("ssh in Debian", .tags(.machine), .serialized, .host)
struct LongSSHTests {
    @Test("in Debian with systemd: rsync, git clone, a user of the image, and the ssh of an image of its own")
    func debian() async throws {
        let user = try await SSHUser.ofSuite()
        let host = user.host
        try await host.succeed(
            "image", "build", "debian", "--name", "tools", "--package", "rsync", "--package", "git",
            limit: .seconds(600))
        try await host.succeed(
            "vm", "create", "--name", "deb", "--memory", "512M", "tools", limit: .seconds(180))
        #expect(try await user.ssh("deb.vm", "cat /proc/1/comm").text == "systemd\n")
        #expect(try await user.ssh("deb.vm", "useradd -m -s /bin/bash ann && passwd -l ann").code == 0)
        #expect(try await user.ssh("ann@deb.vm", "id -un; pwd").text == "ann\n/home/ann\n")

        let tree = "\(user.folder)/tree"
        try makeFolder("\(tree)/inner")
        for number in 0..<50 { try writeFileAtomically("\(tree)/inner/\(number)", Array("\(number)".utf8)) }
        #expect(try await user.program("rsync", ["-a", "\(tree)/", "deb.vm:/root/tree/"]).code == 0)
        #expect(try await user.ssh("deb.vm", "ls /root/tree/inner | wc -l").text == "50\n")

        let script = """
            git init -q /root/work && cd /root/work && git config user.email a@b && git config user.name a &&
            echo one > file && git add file && git commit -q -m first
            """
        #expect(try await user.ssh("deb.vm", script).code == 0)
        let clone = "\(user.folder)/clone"
        let cloned = try await user.program("git", ["clone", "-q", "ssh://deb.vm/root/work", clone])
        #expect(cloned.code == 0, "\(cloned)")
        #expect(try readFile("\(clone)/file") == Array("one\n".utf8))
        try await host.succeed("vm", "rm", "-f", "deb")
    }
}

/// A user of a suite's host with a configuration of ssh of its own.
struct SSHUser: Sendable {
    let host: TestHost
    let folder: String

    /// The user, with `ssh-config --install` done once.
    static func ofSuite() async throws -> SSHUser {
        let host = try await TestHost.current()
        let user = SSHUser(host: host, folder: "\(host.folder)/user")
        guard !fileExists(user.folder) else { return user }
        try await host.succeed("kernel", "import", "debian", "--name", "ssh", limit: .seconds(300))
        try makeFolder(user.folder, mode: 0o700)
        let installed = try await user.covey("ssh-config", "--install", "--file", user.file)
        guard installed.code == 0 else { throw CoveyError(.failure, "ssh-config: \(installed)") }
        return user
    }

    var file: String { "\(folder)/ssh-config" }

    private var environment: [String: String] {
        ["COVEY_HOST": host.socket, "XDG_CONFIG_HOME": "\(folder)/config", "GIT_SSH_COMMAND": "ssh -F \(file)"]
    }

    func covey(_ arguments: String..., limit: Duration = .seconds(90)) async throws -> Outcome {
        try await runProgram(host.programs.covey, arguments, environment: environment, limit: limit)
    }

    func ssh(
        _ name: String, _ command: String, input: [UInt8] = [], limit: Duration = .seconds(90)
    ) async throws -> Outcome { try await program("ssh", [name, command], input: input, limit: limit) }

    /// Runs a program of OpenSSH with the user's configuration, or one that runs ssh.
    func program(
        _ name: String, _ arguments: [String], input: [UInt8] = [], limit: Duration = .seconds(90)
    ) async throws -> Outcome {
        try await runProgram(name, words(name) + arguments, environment: environment, input: input, limit: limit)
    }

    /// Starts one.
    func start(_ name: String, _ arguments: [String]) throws -> Child {
        try Child(["/usr/bin/\(name)"] + words(name) + arguments, environment: environment, log: "\(folder)/log")
    }

    private func words(_ name: String) -> [String] {
        switch name {
        case "ssh", "scp", "sftp": ["-F", file]
        case "rsync": ["-e", "ssh -F \(file)"]
        case _: []
        }
    }
}

extension SSHKeyPair {
    /// A key pair of nobody's: RFC 8032, 7.1, test 1.
    fileprivate static var stranger: SSHKeyPair {
        func bytes(_ text: String) -> [UInt8] {
            stride(from: 0, to: 64, by: 2).compactMap { UInt8(text.dropFirst($0).prefix(2), radix: 16) }
        }
        return SSHKeyPair(
            seed: bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
            publicKey: bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"), check: 7,
            comment: "")
    }
}
