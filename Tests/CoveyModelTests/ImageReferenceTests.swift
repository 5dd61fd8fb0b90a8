import CoveyModel
import Testing

@Suite struct ImageReferenceTests {
    private static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)

    @Test(
        "references are read as docker reads them",
        arguments: [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
            ("team/app", "docker.io/team/app:latest", "team/app:latest"),
            ("index.docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
            ("registry.example.com/a/b/c:1.2", "registry.example.com/a/b/c:1.2", "registry.example.com/a/b/c:1.2"),
            ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest", "a__b/c--d.e:latest"),
            ("debian@" + digest, "docker.io/library/debian@" + digest, "debian@" + digest),
            ("debian:1@" + digest, "docker.io/library/debian:1@" + digest, "debian:1@" + digest),
            ("127.0.0.1:5000/x:V1_.-", "127.0.0.1:5000/x:V1_.-", "127.0.0.1:5000/x:V1_.-"),
        ])
    func reads(_ text: String, _ canonical: String, _ familiar: String) throws {
        let reference = try ImageReference(text)
        #expect(reference.canonical == canonical)
        #expect(reference.familiar == familiar)
        #expect(try ImageReference(canonical).familiar == familiar)
        #expect(try ImageReference(familiar).canonical == canonical)
    }

    @Test(
        "what docker refuses is refused",
        arguments: [
            "", ":", "@", "/", "a/", "/a", "a//b", "Debian", "team/App", "a..b", "a___b", "-a", "a-", "a:", "a:-x",
            "a@",
            "a@sha256:abc", "a@md5:" + String(repeating: "0", count: 32), "a:b:c", "a b", "ä", "a/../b", "../a",
            "registry.example.com:0/a", "registry.example.com:99999/a", "registry.example.com:x/a", "-h.example/a",
            "[::1/a", String(repeating: "a", count: 64), String(repeating: "a", count: 300),
            "a:" + String(repeating: "t", count: 129), "https://registry.example.com/a", "a\u{0}b", "a\n",
        ])
    func refuses(_ text: String) {
        let isDigits = text == String(repeating: "a", count: 64)
        #expect(throws: CoveyError.self, isDigits ? "an id" : "\(text)") { try ImageReference(text) }
    }

    @Test("what asks for a manifest is the digest, else the tag, else latest")
    func selectors() throws {
        #expect(try ImageReference("a").selector == "latest")
        #expect(try ImageReference("a:1").selector == "1")
        #expect(try ImageReference("a:1@\(Self.digest)").selector == Self.digest)
    }

    @Test("any bytes are read or refused, and what is read is read again from its own text")
    func fuzz() throws {
        let alphabet = Array("abzAZ09._-/:@[] \u{0}ä".unicodeScalars) + Array("sha256:localhost".unicodeScalars)
        var state: UInt64 = 42
        func next(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        var read = 0
        for _ in 0..<50_000 {
            var text = ""
            for _ in 0..<next(24) { text.unicodeScalars.append(alphabet[next(alphabet.count)]) }
            guard let reference = try? ImageReference(text) else { continue }
            read += 1
            #expect(try ImageReference(reference.canonical).canonical == reference.canonical, "\(text)")
            #expect(try ImageReference(reference.familiar).canonical == reference.canonical, "\(text)")
        }
        #expect(read > 500)
    }
}
