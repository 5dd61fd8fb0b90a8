import CoveyCatalogs
import CoveyModel
import CoveySystem
import CoveyTesting
import Crypto
import FoundationEssentials
import Testing

@Suite struct CatalogIndexTests {
    static let sha256 = String(repeating: "ab", count: 32)

    private func entry(_ changes: [String: String?] = [:]) -> String {
        var fields: [String: String] = [
            "name": "\"base\"", "kind": "\"image\"", "arch": "\"x86_64\"", "url": "\"base.ext4.zst\"", "size": "5",
            "sha256": "\"\(Self.sha256)\"",
        ]
        for (name, value) in changes { fields[name] = value }
        return "{" + fields.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }

    private func index(_ entries: String..., version: String = "1") -> [UInt8] {
        Array("{\"version\":\(version),\"entries\":[\(entries.joined(separator: ","))]}".utf8)
    }

    @Test("an index's entries are read as they stand, for this catalog")
    func reads() throws {
        let bytes = index(
            entry(["kernel": "\"6.1.0\"", "summary": "\"a base\""]), entry(["kind": "\"kernel\"", "arch": "\"arm64\""]))
        let entries = try CatalogIndex(bytes, catalog: "acme").entries
        #expect(entries.count == 2)
        let first = try #require(entries.first)
        #expect(first.catalog == "acme" && first.name == "base" && first.kind == .image)
        #expect(first.size == ByteCount(5) && first.sha256 == Self.sha256 && first.kernel == "6.1.0")
        #expect(first.summary == "a base" && first.architecture == .amd64)
        #expect(entries[1].architecture == .arm64)
    }

    @Test("entries of a kind or architecture that is not known yet are passed over")
    func newer() throws {
        let bytes = index(entry(["kind": "\"volume\""]), entry(["arch": "\"riscv64\""]), entry())
        #expect(try CatalogIndex(bytes, catalog: "acme").entries.map(\.kind) == [.image])
    }

    @Test(
        "an index with a bad entry is refused as a whole, and names the entry",
        arguments: [
            ("name", "\"../x\""), ("name", "\"\""), ("size", "0"), ("size", "-1"), ("size", "9223372036854775807"),
            ("sha256", "\"ab\""), ("sha256", "\"\(String(repeating: "zz", count: 32))\""), ("url", "\"/etc/shadow\""),
            ("url", "\"../../x\""), ("url", "\"a/../b\""), ("url", "\"file:///etc/shadow\""), ("url", "\"\""),
            ("url", "\"a b\""), ("kernel", "\"../x\""), ("name", "5"), ("size", "\"5\""), ("kind", "\"bundle\""),
        ])
    func refuses(_ field: String, _ value: String) {
        let error = #expect(throws: CoveyError.self) {
            try CatalogIndex(index(entry([field: value])), catalog: "acme")
        }
        #expect(error?.code == .corrupt)
        #expect(error?.message.contains("catalog acme") == true)
    }

    @Test("what is no index, too long, of another version, or has an entry twice is refused")
    func refusesWhole() {
        func code(_ bytes: [UInt8]) -> ErrorCode? {
            #expect(throws: CoveyError.self) { try CatalogIndex(bytes, catalog: "acme") }?.code
        }
        #expect(code([]) == .corrupt)
        #expect(code(Array("[]".utf8)) == .corrupt)
        #expect(code(Array("{\"version\":1}".utf8)) == .corrupt)
        #expect(code(index(entry(), version: "2")) == .unsupported)
        #expect(code(index(entry(), entry())) == .corrupt)
        #expect(code([UInt8](repeating: 32, count: Int(CatalogIndex.largest.bytes) + 1)) == .corrupt)
    }

    @Test("no change of the committed indexes crashes the reader, and what it then reads is valid")
    func mutations() throws {
        let folder = parentFolder(#filePath) + "/Corpus"
        var generator = SeededGenerator(seed: 3)
        var read = 0
        for name in try listFolder(folder).sorted() {
            let input = try readFile("\(folder)/\(name)")
            for turn in 0..<2000 {
                var bytes = input
                for _ in 0..<(turn == 0 ? 0 : Int.random(in: 1...2, using: &generator)) where !bytes.isEmpty {
                    let at = Int.random(in: 0..<bytes.count, using: &generator)
                    switch Int.random(in: 0..<3, using: &generator) {
                    case 0: bytes[at] = UInt8.random(in: .min ... .max, using: &generator)
                    case 1: bytes.removeSubrange(at..<min(bytes.count, at + 8))
                    case _: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 24)], at: at)
                    }
                }
                do throws(CoveyError) {
                    for entry in try CatalogIndex(bytes, catalog: "acme").entries {
                        read += 1
                        #expect(entry.sha256.utf8.count == 64 && entry.size.bytes > 0 && !entry.url.hasPrefix("/"))
                        #expect(!entry.name.contains("/") && entry.kernel?.contains("/") != true)
                    }
                } catch {
                    #expect([.corrupt, .unsupported].contains(error.code))
                }
            }
        }
        #expect(read > 50)
    }
}

@Suite struct CatalogSignatureTests {
    private let key = Curve25519.Signing.PrivateKey()
    private let bytes = Array("{\"version\":1,\"entries\":[]}".utf8)

    private var publicKey: String { key.publicKey.rawRepresentation.base64EncodedString() }

    @Test("the signature of a configured key is accepted, raw and in base64")
    func accepts() throws {
        let signature = try key.signature(for: Data(bytes))
        let other = Curve25519.Signing.PrivateKey().publicKey.rawRepresentation.base64EncodedString()
        try CatalogSignature.check(Array(signature), of: bytes, keys: [other, publicKey], catalog: "acme")
        let text = Array((signature.base64EncodedString() + "\n").utf8)
        try CatalogSignature.check(text, of: bytes, keys: [publicKey], catalog: "acme")
    }

    @Test("a missing, foreign, cut or changed signature, and a changed index, are denied")
    func denies() throws {
        let signature = Array(try key.signature(for: Data(bytes)))
        let foreign = Array(try Curve25519.Signing.PrivateKey().signature(for: Data(bytes)))
        var changed = signature
        changed[5] ^= 1
        let cases: [([UInt8]?, [UInt8])] = [
            (nil, bytes), (foreign, bytes), (Array(signature.dropLast()), bytes), (changed, bytes),
            (signature, bytes + [32]), ([], bytes),
        ]
        for (signature, bytes) in cases {
            let error = #expect(throws: CoveyError.self) {
                try CatalogSignature.check(signature, of: bytes, keys: [publicKey], catalog: "acme")
            }
            #expect(error?.code == .denied)
        }
    }
}

@Suite struct CatalogSourceTests {
    private static let key = String(repeating: "A", count: 43) + "="

    @Test("a setting names a catalog, its folder and its keys")
    func reads() throws {
        let source = try CatalogSource("acme=https://images.example.com/c/#\(Self.key),\(Self.key)")
        #expect(source.name == "acme" && source.url == "https://images.example.com/c" && source.keys.count == 2)
        #expect(try CatalogSource("local=/srv/catalog").keys == [])
    }

    @Test(
        "a setting that is none is refused",
        arguments: ["", "acme", "acme=", "Acme=/x", "acme=relative", "acme=ftp://x", "acme=/x#", "acme=/x#short"])
    func refuses(_ text: String) {
        #expect(#expect(throws: CoveyError.self) { try CatalogSource(text) }?.code == .invalid)
    }
}
