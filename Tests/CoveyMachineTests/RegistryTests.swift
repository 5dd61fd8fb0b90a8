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
            let script = """
                cd '\(folder)'
                umoci init --layout layout
                umoci new --image layout:box
                umoci unpack --image layout:box b >/dev/null
                mkdir -p b/rootfs/bin b/rootfs/etc b/rootfs/srv/app
                cp /bin/busybox b/rootfs/bin/; for name in sh id pwd env sort cat; do ln -s busybox b/rootfs/bin/$name; done
                echo 'root:x:0:0:root:/root:/bin/sh' > b/rootfs/etc/passwd
                echo 'app:x:1001:1002::/srv/app:/bin/sh' >> b/rootfs/etc/passwd
                echo 'app:x:1002:' > b/rootfs/etc/group
                head -c \(megabytes)000000 /dev/urandom > b/rootfs/ballast
                umoci repack --image layout:box b >/dev/null
                umoci config --image layout:box --config.entrypoint /bin/sh --config.entrypoint -c \
                    --config.cmd 'id; pwd; echo $GREETING; exit 5' --config.user app:app --config.workingdir /srv/app \
                    --config.env GREETING=hello
                skopeo --insecure-policy copy -q --dest-tls-verify=false oci:layout:box docker://\(host)/test/box:1
                """
            let outcome = try await runProgram("bash", ["-ceu", script], limit: .seconds(120))
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
