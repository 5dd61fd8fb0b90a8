import CoveyModel
import CoveySystem
import FoundationEssentials
import Glibc
import Testing

@Suite("Catalogs", .tags(.machine), .serialized)
struct CatalogTests {
    /// A catalog of one image, one kernel and one bundle in a folder, made and signed by `scripts/catalog`.
    private func publish(_ folder: String, kernelPackage: String) async throws -> String {
        try await ImageSourceTests.makeTree("\(folder)/tree")
        try await ImageSourceTests.makeFileSystem("\(folder)/image.ext4", from: "\(folder)/tree")
        let script = """
            set -e
            cd "$1"
            mkdir catalog
            cp "$2" kernel.deb
            gzip -k image.ext4
            tar -cf bundle.tar image.ext4.gz kernel.deb
            "$3" key key.pem > key.pub
            "$3" add catalog image base image.ext4.gz summary='a base'
            "$3" add catalog kernel cloud kernel.deb
            "$3" add catalog bundle both bundle.tar kernel=bundled
            "$3" sign catalog key.pem
            """
        let made = try await runProgram(
            "sh",
            ["-c", script, "sh", folder, kernelPackage, "\(FileManager.default.currentDirectoryPath)/scripts/catalog"])
        guard made.code == 0 else { throw CoveyError(.failure, "the catalog was not made: \(made)") }
        return try readText("\(folder)/key.pub").split(separator: "\n").joined()
    }

    private func withCatalog(_ body: (_ folder: String, _ key: String) async throws -> Void) async throws {
        let folder = "/tmp/cvy-c-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder, mode: 0o755)
        do {
            try await body(folder, try await publish(folder, kernelPackage: try await Programs.shared().kernelPackage))
            try removeTree(folder)
        } catch {
            try removeTree(folder)
            throw error
        }
    }

    @Test("from a signed catalog a kernel, an image and a bundle are pulled and boot; a changed one is denied")
    func local() async throws {
        try await withCatalog { folder, key in
            let configuration = "catalog:\n  sources: acme=\(folder)/catalog#\(key) open=\(folder)/catalog\n"
            try await TestHost.with(configuration: configuration) { host in
                let listed = try await host.succeed("image", "catalog", "acme", "-q")
                #expect(listed.lines.sorted() == ["acme/base", "acme/both"], "\(listed)")
                try await host.succeed("kernel", "pull", "acme/cloud", limit: .seconds(180))
                try await host.succeed("image", "pull", "acme/base")
                let ran = try await host.succeed("run", "--rm", "acme/base", "--", "cat", "/etc/mark")
                #expect(ran.text == "registered\n", "\(ran)")
                // A bundle brings its kernel, and a machine of it boots that one.
                try await host.succeed("vm", "create", "--name", "both", "acme/both", limit: .seconds(180))
                let kernels = try await host.succeed("kernel", "ls", "-q").lines
                #expect(kernels.contains("bundled"), "\(kernels)")
                let used = try await host.succeed("vm", "inspect", "both", "-o", "json").text
                let bundled = try await host.succeed("kernel", "inspect", "bundled", "-o", "json").text
                let id = try #require(bundled.split(separator: "\"id\": \"").dropFirst().first?.prefix(36))
                #expect(used.contains(id), "\(used)")
                try await host.succeed("vm", "rm", "-f", "both")

                let unsigned = try await host.run("image", "catalog", "open")
                #expect(unsigned.code == 6 && unsigned.isClearError, "\(unsigned)")
                try await host.succeed("image", "catalog", "open", "--insecure")
                let missing = try await host.run("image", "pull", "acme/nosuch")
                #expect(missing.code == 3 && missing.isClearError, "\(missing)")
                // Another content under the same name.
                var bytes = try readFile("\(folder)/catalog/image.ext4.gz")
                bytes[bytes.count / 2] ^= 1
                try writeFileAtomically("\(folder)/catalog/image.ext4.gz", bytes, mode: 0o644)
                let changed = try await host.run("image", "pull", "acme/base", "--name", "again")
                #expect(changed.code == 1 && changed.isClearError, "\(changed)")
                var index = try readFile("\(folder)/catalog/index.json")
                index.append(10)
                try writeFileAtomically("\(folder)/catalog/index.json", index, mode: 0o644)
                let denied = try await host.run("image", "catalog", "acme")
                #expect(denied.code == 6 && denied.isClearError, "\(denied)")
                #expect(try listFolder("\(host.root)/images/.uploads").isEmpty)
            }
        }
    }

    @Test("a catalog over HTTPS is read with its authority, and refused without")
    func web() async throws {
        try await withCatalog { folder, key in
            let prepared = try await runProgram(
                "openssl",
                [
                    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                    "\(folder)/tls.key", "-out", "\(folder)/tls.crt",
                ])
            #expect(prepared.code == 0, "\(prepared)")
            let server = """
                import http.server, ssl, sys, functools
                handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1] + "/catalog")
                server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(sys.argv[1] + "/tls.crt", sys.argv[1] + "/tls.key")
                server.socket = context.wrap_socket(server.socket, server_side=True)
                open(sys.argv[1] + "/port.new", "w").write(str(server.server_address[1]))
                import os; os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
                server.serve_forever()
                """
            let child = try Child(
                ["/usr/bin/python3", "-c", server, folder], environment: [:], log: "\(folder)/server.log")
            do {
                try await eventually("the server listens") { fileExists("\(folder)/port") }
                let url = "https://localhost:\(try readText("\(folder)/port"))"
                let source = "  sources: acme=\(url)#\(key)\n"
                try await TestHost.with(configuration: "catalog:\n  ca: \(folder)/tls.crt\n\(source)") { host in
                    #expect(try await host.succeed("kernel", "catalog", "-q").lines == ["acme/cloud"])
                    try await host.succeed("image", "pull", "acme/base")
                    #expect(try await host.succeed("image", "ls", "-q").lines == ["acme/base"])
                }
                try await TestHost.with(configuration: "catalog:\n\(source)") { host in
                    let refused = try await host.run("image", "catalog")
                    #expect(refused.code == 5 && refused.isClearError, "\(refused)")
                }
            } catch {
                try child.send(SIGKILL)
                throw error
            }
            try child.send(SIGKILL)
            try await eventually("the server has ended") { try child.ending() != nil }
        }
    }
}
