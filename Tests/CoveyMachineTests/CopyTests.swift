import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Files into machines, out of them and between them", .tags(.machine), .serialized, .host)
struct CopyTests {
    /// The machine that the tests share.
    private func box(_ host: TestHost) async throws -> String {
        if try await host.isGone("box") {
            try await host.succeed("vm", "create", "--name", "box", "--memory", "512M", "--disk", "1G", "busybox")
        }
        return "box"
    }

    private func sum(_ path: String) async throws -> String {
        String(try await runProgram("sha256sum", [path]).text.prefix(64))
    }

    private func random(_ path: String, _ mebibytes: Int) async throws {
        let made = try await runProgram(
            "dd", ["if=/dev/urandom", "of=\(path)", "bs=1M", "count=\(mebibytes)", "status=none"])
        #expect(made.code == 0, "\(made)")
    }

    private func sh(_ host: TestHost, _ machine: String, _ script: String) async throws -> String {
        try await host.succeed("exec", machine, "--", "sh", "-c", script).text
    }

    @Test("random bytes go in and come out again with the same sum, and into a second machine")
    func large() async throws {
        let host = try await TestHost.current()
        let size = Soak.count(8, soak: 100)
        let (source, back) = ("\(host.folder)/random", "\(host.folder)/back")
        try await random(source, size)
        let box = try await box(host)
        try await host.succeed("vm", "create", "--name", "second", "--disk", "1G", "busybox")
        try await host.succeed("cp", source, "\(box):/root/random", limit: .seconds(300))
        try await host.succeed("cp", "\(box):/root/random", back, limit: .seconds(300))
        try await host.succeed("cp", "\(box):/root/random", "second:/tmp/copy", limit: .seconds(300))
        let wanted = try await sum(source)
        #expect(try await sum(back) == wanted)
        #expect(try await sh(host, "second", "sha256sum /tmp/copy").hasPrefix(wanted))
    }

    @Test("a tree with odd names, links, holes and modes comes back as it was")
    func tree() async throws {
        let host = try await TestHost.current()
        let box = try await box(host)
        let tree = "\(host.folder)/tree"
        let script = """
            mkdir -p "$0/sub/deeper" && cd "$0" && printf hello > plain && ln plain same && ln -s plain link \
            && printf x > -dash && printf x > "$(printf 'two\\nlines')" && printf x > "$(printf 'bytes\\377\\376')" \
            && chmod 751 plain && touch -d @1000000001 plain && truncate -s \(Soak.count(256, soak: 1024))M holes \
            && dd if=/dev/urandom of=holes bs=1M count=1 seek=200 conv=notrunc status=none \
            && mkfifo pipe && chmod 500 sub/deeper
            """
        let made = try await runProgram("bash", ["-c", script, tree])
        #expect(made.code == 0, "\(made)")
        var failure: (any Error)?
        do { try await roundTrip(host, box, tree) } catch { failure = error }
        // Names that are no text are rm's to remove.
        let removed = try await runProgram("rm", ["-rf", tree, "\(host.folder)/out"])
        #expect(removed.code == 0, "\(removed)")
        if let failure { throw failure }
    }

    private func roundTrip(_ host: TestHost, _ box: String, _ tree: String) async throws {
        try await host.succeed("cp", tree, "\(box):/root/t")
        #expect(
            try await sh(host, box, "cat /root/t/same; stat -c '%a %Y %h %U' /root/t/plain; readlink /root/t/link")
                == "hello751 1000000001 2 root\nplain\n")
        #expect(try await sh(host, box, "du -k /root/t/holes | cut -f1").trimmedNumber < 4096)
        try await host.succeed("cp", "\(box):/root/t", "\(host.folder)/out")
        let compared = try await runProgram(
            "bash",
            ["-c", "diff -r --no-dereference -x pipe \"$0\" \"$1\" && test -p \"$1/pipe\"", tree, "\(host.folder)/out"])
        #expect(compared.code == 0, "\(compared)")
        var facts = stat()
        #expect(stat("\(host.folder)/out/holes", &facts) == 0 && facts.st_blocks * 512 < 4 << 20)
        // The same as an archive on the standard streams, which tar reads and writes.
        let archive = try await host.succeed("cp", "\(box):/root/t/sub/.", "-").bytes
        let listed = try await runProgram("tar", ["-tf", "-"], input: archive)
        #expect(listed.lines == ["./", "./deeper/"])
        let packed = try await runProgram("tar", ["-cf", "-", "-C", tree, "plain"])
        try await host.succeed("cp", "-", "\(box):/tmp", input: packed.bytes)
        #expect(try await sh(host, box, "cat /tmp/plain") == "hello")
    }

    @Test("hundreds of small files go in and come out")
    func many() async throws {
        let host = try await TestHost.current()
        let box = try await box(host)
        let count = Soak.count(500, soak: 10_000)
        let folder = "\(host.folder)/many"
        let script = "mkdir -p $0 && cd $0 && for i in $(seq \(count)); do echo $i > file-$i; done"
        _ = try await runProgram("bash", ["-c", script, folder])
        try await host.succeed("cp", folder, "\(box):/root", limit: .seconds(300))
        #expect(try await sh(host, box, "ls /root/many | wc -l").trimmedNumber == count)
        try await host.succeed("cp", "\(box):/root/many", "\(host.folder)/back-many", limit: .seconds(300))
        let compared = try await runProgram("diff", ["-r", folder, "\(host.folder)/back-many"])
        #expect(compared.code == 0, "\(compared)")
    }

    @Test("a full guest disk leaves the old file whole and is one clear error; a wrong path and a user are told too")
    func failures() async throws {
        let host = try await TestHost.current()
        let box = try await box(host)
        _ = try await sh(host, box, "mkdir /data && mount -t tmpfs -o size=2m none /data && echo old > /data/f")
        let source = "\(host.folder)/too-large"
        try await random(source, 8)
        let full = try await host.run("cp", source, "\(box):/data/f")
        #expect(full.code == 7, "\(full)")
        #expect(full.error.hasPrefix("error: no space left on /data in box\n") && full.isClearError, "\(full)")
        #expect(try await sh(host, box, "cat /data/f; ls -A /data") == "old\nf\n")
        #expect(try await host.run("cp", "\(box):/nothing", host.folder).code == 3)
        #expect(try await host.run("cp", "nobody:/x", host.folder).code == 3)
        #expect(try await host.run("cp", source, "\(box):/no/such/folder/x").code == 3)
        let denied = try await host.run("cp", "--user", "nobody", source, "\(box):/etc/x")
        #expect(denied.code == 6, "\(denied)")
        _ = try await sh(host, box, "mkdir -m 777 /open")
        try await host.succeed("cp", "--user", "nobody", source, "\(box):/open")
        #expect(try await sh(host, box, "stat -c %U /open/too-large") == "nobody\n")
    }

    @Test("a client or a daemon that is killed in the middle leaves nothing half-made, and the next copy works")
    func killed() async throws {
        let host = try await TestHost.current()
        let box = try await box(host)
        _ = try await sh(host, box, "mkdir /d && echo old > /d/f")
        // An archive that never ends: its file stays half written as long as the copy lives.
        let archive = "\(host.folder)/half.tar"
        try await random("\(host.folder)/f", 4)
        _ = try await runProgram("tar", ["-cf", archive, "-C", host.folder, "f"])
        _ = try await runProgram("truncate", ["-s", "3M", archive])
        for kills in ["client", "daemon"] {
            let copy = try Child(
                [
                    "/bin/sh", "-c", "(cat \"$0\"; exec sleep 60) | exec \"$1\" cp - box:/d", archive,
                    host.programs.covey,
                ],
                environment: ["COVEY_HOST": host.socket], log: "\(host.folder)/copy.log")
            try await eventually("the copy runs in the guest") {
                try await sh(host, box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").contains("covey-copy unpack")
            }
            if kills == "daemon" {
                try await host.killDaemon()
                try await host.start()
            }
            // The client with the shell that feeds it.
            _ = kill(-copy.pid, SIGKILL)
            _ = try await copy.end(within: .seconds(20))
            try await host.ready(box)
            try await eventually("nothing of the copy is left in the guest") {
                try await !sh(host, box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").contains("covey-copy unpack")
            }
            #expect(try await sh(host, box, "cat /d/f; ls -A /d") == "old\nf\n", "\(kills)")
        }
        try await host.succeed("cp", "\(host.folder)/f", "\(box):/d")
        #expect(try await sh(host, box, "sha256sum /d/f").hasPrefix(try await sum("\(host.folder)/f")))
    }
}

extension String {
    /// The number that the text is, but for white space; -1 where it is none.
    fileprivate var trimmedNumber: Int { Int(filter { !$0.isWhitespace }) ?? -1 }
}
