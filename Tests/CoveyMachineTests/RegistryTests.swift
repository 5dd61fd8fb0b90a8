import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Images of a registry", .tags(.machine))
struct RegistryTests {
    /// A registry of Debian's package on loopback, with one image; ended with the value.
    private final class Registry: Sendable {
        let folder: String
        let host: String
        private let process: Child

        init() async throws {
            folder = "/tmp/cvy-m-registry-\(UInt32.random(in: .min ... .max))"
            try makeFolder(folder, mode: 0o755)
            let file = "\(folder)/config.yml"
            let settings = """
                version: 0.1
                log: {level: info}
                storage: {filesystem: {rootdirectory: \(folder)/storage}}
                http: {addr: "127.0.0.1:0", secret: x}

                """
            try writeFileAtomically(file, Array(settings.utf8))
            let log = "\(folder)/log"
            process = try Child(["/usr/bin/docker-registry", "serve", file], log: log)
            var port = ""
            try await eventually("docker-registry listens") {
                let text = String(decoding: try readFile(log), as: UTF8.self)
                guard let at = text.firstRange(of: "listening on 127.0.0.1:") else { return false }
                port = String(text[at.upperBound...].prefix { $0.isNumber })
                return !port.isEmpty
            }
            host = "127.0.0.1:\(port)"
        }

        /// Makes an image of busybox and some megabytes, and pushes it.
        func push(megabytes: Int = 1) async throws {
            try await push(
                "box",
                """
                mkdir -p b/rootfs/bin b/rootfs/etc b/rootfs/srv/app
                cp /bin/busybox b/rootfs/bin/; for name in sh id pwd env sort cat; do ln -s busybox b/rootfs/bin/$name; done
                echo 'root:x:0:0:root:/root:/bin/sh' > b/rootfs/etc/passwd
                echo 'app:x:1001:1002::/srv/app:/bin/sh' >> b/rootfs/etc/passwd
                echo 'app:x:1002:' > b/rootfs/etc/group
                head -c \(megabytes)000000 /dev/urandom > b/rootfs/ballast
                """,
                """
                --config.entrypoint /bin/sh --config.entrypoint -c --config.cmd 'id; pwd; echo $GREETING; exit 5' \
                    --config.user app:app --config.workingdir /srv/app --config.env GREETING=hello
                """)
        }

        /// Makes an image of what a script puts below b/rootfs, with these settings of umoci, and pushes it.
        func push(_ image: String, _ script: String, _ settings: String, limit: Duration = .seconds(120)) async throws {
            let all = """
                cd '\(folder)'
                umoci init --layout layout
                umoci new --image layout:\(image)
                umoci unpack --image layout:\(image) b >/dev/null
                \(script)
                umoci repack --image layout:\(image) b >/dev/null
                umoci config --image layout:\(image) \(settings)
                skopeo --insecure-policy copy -q --dest-tls-verify=false \
                    oci:layout:\(image) docker://\(host)/test/\(image):1
                """
            let outcome = try await runProgram("bash", ["-ceu", all], limit: limit)
            guard outcome.code == 0 else { throw CoveyError(.failure, "the image was not made: \(outcome)") }
        }

        deinit {
            // Nobody is left to tell.
            try? process.send(SIGKILL)
            try? removeTree(folder)
        }
    }

    @Test(
        "a pulled image boots, and its entrypoint, command, environment, user and folder are those of the image", .host)
    func entrypoint() async throws {
        let host = try await TestHost.current()
        let registry = try await Registry()
        try await registry.push()
        let name = "\(registry.host)/test/box:1"
        let refused = try await host.run("image", "pull", name)
        #expect(refused.code != 0 && refused.error.contains("--plain-http"), "\(refused)")
        try await host.succeed("image", "pull", "--plain-http", name)
        let outcome = try await host.run("run", "--rm", name)
        #expect(outcome.code == 5)
        #expect(outcome.lines == ["uid=1001(app) gid=1002(app) groups=1002(app)", "/srv/app", "hello"], "\(outcome)")
        let other = try await host.succeed("run", "--rm", name, "--", "id", "-u")
        #expect(other.text == "1001\n")
        let history = try await host.succeed("image", "history", name)
        #expect(history.text.contains("umoci"))
        let archive = "\(registry.folder)/out.tar"
        try await host.succeed("image", "export", name, archive)
        let read = try await runProgram("skopeo", ["inspect", "--raw", "oci-archive:\(archive)"])
        #expect(read.code == 0 && read.text.contains("layers"), "\(read)")
        try await host.succeed("image", "import", archive, "back")
        let back = try await host.run("run", "--rm", "back")
        #expect(back.code == 5 && back.lines == outcome.lines, "\(back)")
        try await eventually("the imported image can be removed") {
            try await host.run("image", "rm", "back").code == 0
        }
        // --rm is the daemon's, and may take a moment longer than the program.
        try await eventually("the image can be removed") { try await host.run("image", "rm", name).code == 0 }
        #expect(try listFolder("\(host.root)/images/blobs/sha256").isEmpty)
    }

    @Test("a pull goes on after each kill of the daemon, and ends in the image with no leftovers", .host)
    func killed() async throws {
        let host = try await TestHost.current()
        let registry = try await Registry()
        try await registry.push(megabytes: 60)
        let name = "\(registry.host)/test/box:1"
        try await host.succeed("image", "pull", "--plain-http", "--detach", name)
        for turn in 0..<Soak.count(4, soak: 50) {
            // At another point each time.
            let megabytes = turn * 17 % 120
            try await eventually("\(megabytes) MB lie in the images' folder, or the image is ready") {
                if try bytes(in: "\(host.root)/images") >= megabytes * 1_000_000 { return true }
                return try await host.succeed("image", "ls").text.contains("ready")
            }
            try await host.killDaemon()
            try await host.start()
        }
        try await host.succeed("image", "pull", "--plain-http", name, limit: .seconds(120))
        let images = "\(host.root)/images"
        #expect(try listFolder("\(images)/blobs/partial").isEmpty)
        #expect(try listFolder("\(images)/blobs/sha256").count == 3)
        #expect(try listFolder(images).filter { $0.hasPrefix(".new-") || $0.hasPrefix(".gone-") }.isEmpty)
        let outcome = try await host.run("run", "--rm", name)
        #expect(outcome.code == 5, "\(outcome)")
    }

    @Test("a Debian minbase boots from a registry, though it has no init", .host)
    func minbase() async throws {
        let host = try await TestHost.current()
        let registry = try await Registry()
        // The host's own mirror: apt knows it.
        try await registry.push(
            "minbase",
            """
            mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
            unshare --mount --propagation private --pid --fork --kill-child --mount-proc \\
                mmdebstrap --quiet --variant=minbase --mode=root bookworm b/rootfs "deb $mirror bookworm main"
            """, "--config.cmd /bin/bash", limit: .seconds(600))
        let name = "\(registry.host)/test/minbase:1"
        try await host.succeed("image", "pull", "--plain-http", name, limit: .seconds(300))
        let version = try await host.succeed("run", "--rm", name, "--", "cat", "/etc/debian_version")
        #expect(version.text.hasPrefix("12."), "\(version)")
        let script = "set -e; dpkg --audit; dpkg-query -W bash; getent passwd www-data; stat -c %a /usr/bin/passwd"
        let whole = try await host.succeed("run", "--rm", name, "--", "bash", "-c", script)
        #expect(whole.lines.first?.hasPrefix("bash\t") == true && whole.lines.last == "4755", "\(whole)")
        try await eventually("the image can be removed") { try await host.run("image", "rm", name).code == 0 }
    }

    @Test("an image of 100,000 files has all of them in its machine", .host)
    func manyFiles() async throws {
        let host = try await TestHost.current()
        let registry = try await Registry()
        try await registry.push(
            "many",
            """
            mkdir -p b/rootfs/bin b/rootfs/many
            cp /bin/busybox b/rootfs/bin/; ln -s busybox b/rootfs/bin/sh
            python3 - <<'END'
            import os
            for number in range(100000):
                folder = f"b/rootfs/many/{number // 500}"
                if number % 500 == 0:
                    os.mkdir(folder)
                with open(f"{folder}/{number}", "w") as file:
                    file.write(f"{number}\\n")
            END
            """, "--config.cmd /bin/sh", limit: .seconds(300))
        let name = "\(registry.host)/test/many:1"
        try await host.succeed("image", "pull", "--plain-http", name, limit: .seconds(300))
        let count = "busybox find /many -type f | busybox wc -l; busybox cat /many/199/99999"
        let counted = try await host.run("run", "--rm", name, "--", "/bin/sh", "-c", count, limit: .seconds(180))
        #expect(counted.lines == ["100000", "99999"], "\(counted)")
        try await eventually("the image can be removed") { try await host.run("image", "rm", name).code == 0 }
    }

    @Test("a program that is linked against musl runs, in an image that has nothing else", .host)
    func musl() async throws {
        let host = try await TestHost.current()
        let registry = try await Registry()
        try await registry.push(
            "musl",
            """
            cat > hello.c <<'END'
            #include <stdio.h>
            #include <stdlib.h>
            #include <pwd.h>
            int main(int count, char **words) {
                struct passwd *user = getpwuid(0);
                printf("%s, %s\\n", getenv("GREETING"), count > 1 ? words[1] : user ? user->pw_name : "nobody");
                return 7;
            }
            END
            mkdir -p b/rootfs/lib b/rootfs/app b/rootfs/etc
            musl-gcc -o b/rootfs/app/hello hello.c
            readelf -lW b/rootfs/app/hello | grep -q 'interpreter: /lib/ld-musl-x86_64.so.1'
            cp -L /lib/ld-musl-x86_64.so.1 b/rootfs/lib/
            echo 'root:x:0:0:root:/:/app/hello' > b/rootfs/etc/passwd
            """, "--config.entrypoint /app/hello --config.env GREETING=hello")
        let name = "\(registry.host)/test/musl:1"
        try await host.succeed("image", "pull", "--plain-http", name)
        let own = try await host.run("run", "--rm", name)
        #expect(own.code == 7 && own.text == "hello, root\n", "\(own)")
        let other = try await host.run("run", "--rm", name, "--", "/app/hello", "world")
        #expect(other.code == 7 && other.text == "hello, world\n", "\(other)")
        try await eventually("the image can be removed") { try await host.run("image", "rm", name).code == 0 }
    }

    @Test(
        "a further name boots when the first is gone; prune takes no image that a machine has, and df counts all", .host
    )
    func keeping() async throws {
        let registry = try await Registry()
        try await registry.push(megabytes: 5)
        let name = "\(registry.host)/test/box:1"
        try await TestHost.with(configuration: "registry:\n  plain-http: \(registry.host)\n") { host in
            try await host.importKernel()
            try await host.succeed("image", "pull", name)
            try await host.succeed("image", "tag", name, "mine")
            let blobs = "\(host.root)/images/blobs/sha256"
            try await host.succeed(
                "run", "-d", "--name", "keeper", "mine", "--", "busybox", "sleep", "1000")
            let plan = try await host.succeed("image", "prune", "--all", "--dry-run")
            #expect(plan.text.contains(name) && !plan.text.contains("mine"), "\(plan)")
            let first = try await host.succeed("image", "prune", "--all", "-q")
            #expect(first.text == "\(name)\n", "the name goes, the content and its blobs stay: \(first)")
            #expect(try await host.succeed("image", "ls", "-q").text == "mine\n")
            #expect(try listFolder(blobs).count == 3)
            let refused = try await host.run("image", "rm", "mine")
            #expect(refused.code != 0 && refused.error.contains("vm keeper"), "\(refused)")
            let outcome = try await host.run("exec", "keeper", "--", "sort", "/etc/group")
            #expect(outcome.code == 0, "\(outcome)")
            try await host.succeed("vm", "restart", "keeper")
            let usage = try await host.succeed("system", "df")
            let rows = usage.lines.map { $0.split(separator: " ").map { String($0) } }
            #expect(rows.map { $0[0] } == ["KIND", "images", "blobs", "kernels", "volumes", "machines"], "\(usage)")
            #expect(rows.dropFirst().map { $0[1] } == ["1", "3", "1", "0", "1"], "\(usage)")
            try await host.succeed("vm", "rm", "-f", "keeper")
            let last = try await host.succeed("image", "prune", "--all")
            #expect(last.text.contains("mine") && last.error.contains("freed"), "\(last)")
            #expect(try listFolder(blobs).isEmpty)
            #expect(try listFolder("\(host.root)/images").filter { $0 != "blobs" && !$0.hasPrefix(".") }.isEmpty)
            let none = try await host.succeed("image", "prune", "--all")
            #expect(none.text.isEmpty && none.error.contains("freed 0"), "\(none)")
        }
    }

    /// Bytes of all files below a folder that changes meanwhile.
    private func bytes(in folder: String) throws -> Int {
        guard let names = try? listFolder(folder) else { return 0 }
        return try names.reduce(0) { sum, name in
            let path = "\(folder)/\(name)"
            guard let facts = try? FileFacts(path) else { return sum }
            return sum + (facts.kind == .folder ? try bytes(in: path) : Int(facts.size))
        }
    }

    @Test("vm create fetches an image that is missing, and says so where no registry has it")
    func fetches() async throws {
        let registry = try await Registry()
        try await registry.push()
        try await TestHost.with(configuration: "registry:\n  plain-http: \(registry.host)\n") { host in
            let missing = try await host.run("vm", "create", "\(registry.host)/test/none:1")
            #expect(missing.code == 3 && missing.error.contains("has no image"), "\(missing)")
            _ = try await host.run("vm", "create", "--no-start", "\(registry.host)/test/box:1")
            #expect(try await host.succeed("image", "ls", "-q").text == "\(registry.host)/test/box:1\n")
        }
    }
}
