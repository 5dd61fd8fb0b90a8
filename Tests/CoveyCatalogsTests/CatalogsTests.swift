import CoveyCatalogs
import CoveyImages
import CoveyModel
import CoveySystem
import Crypto
import FoundationEssentials
import Glibc
import Synchronization
import Testing

/// A folder with a signed catalog, removed with the scope.
private func withCatalog(
    _ body: (_ folder: String, _ key: Curve25519.Signing.PrivateKey) async throws -> Void
) async throws {
    let folder = "/tmp/cvy-catalogs-\(getpid())-\(UInt32.random(in: .min ... .max))"
    try makeFolder("\(folder)/catalog")
    do {
        try await body(folder, Curve25519.Signing.PrivateKey())
        try removeTree(folder)
    } catch {
        try removeTree(folder)
        throw error
    }
}

private func publish(
    _ content: [UInt8], in folder: String, key: Curve25519.Signing.PrivateKey, size: Int? = nil
) throws {
    let digest = SHA256.hash(data: content).map { byte in
        let text = String(byte, radix: 16)
        return text.count == 1 ? "0\(text)" : text
    }.joined()
    let index = Array(
        """
        {"version":1,"entries":[{"name":"base","kind":"image","arch":"x86_64","url":"base.ext4",
        "size":\(size ?? content.count),"sha256":"\(digest)"}]}
        """.utf8)
    try writeFileAtomically("\(folder)/catalog/base.ext4", content)
    try writeFileAtomically("\(folder)/catalog/index.json", index)
    try writeFileAtomically("\(folder)/catalog/index.json.sig", Array(try key.signature(for: Data(index))))
}

private func source(_ folder: String, _ key: Curve25519.Signing.PrivateKey?) -> CatalogSource {
    CatalogSource(
        name: "acme", url: "\(folder)/catalog",
        keys: [key?.publicKey.rawRepresentation.base64EncodedString()].compactMap(\.self))
}

private func code(_ body: () async throws -> Void) async -> ErrorCode? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? CoveyError)?.code
    }
}

@Suite struct CatalogsTests {
    @Test("a signed catalog of a folder is listed, and its file comes whole, with progress and nothing left behind")
    func local() async throws {
        try await withCatalog { folder, key in
            let content = [UInt8](repeating: 7, count: 3 << 20)
            try publish(content, in: folder, key: key)
            let catalogs = Catalogs([source(folder, key)], scratch: "\(folder)/scratch")
            let entry = try #require(try await catalogs.entries(of: nil, insecure: false).first)
            #expect(entry.catalog == "acme" && entry.size == ByteCount(3 << 20))
            let seen = Mutex<Int64>(0)
            try await catalogs.fetch(entry, to: "\(folder)/file", insecure: false) { _, done, _, _ in
                seen.withLock { $0 = done ?? 0 }
            }
            #expect(try readFile("\(folder)/file") == content)
            #expect(seen.withLock { $0 } == 3 << 20)
            #expect(try listFolder("\(folder)/scratch") == [])
        }
    }

    @Test("without a key a catalog is denied, and taken with --insecure")
    func unsigned() async throws {
        try await withCatalog { folder, key in
            try publish([1], in: folder, key: key)
            let catalogs = Catalogs([source(folder, nil)], scratch: "\(folder)/scratch")
            #expect(await code { _ = try await catalogs.entries(of: "acme", insecure: false) } == .denied)
            #expect(try await catalogs.entries(of: "acme", insecure: true).count == 1)
        }
    }

    @Test("a foreign signature is denied, also with --insecure")
    func foreign() async throws {
        try await withCatalog { folder, key in
            try publish([1], in: folder, key: key)
            let other = Curve25519.Signing.PrivateKey()
            let catalogs = Catalogs([source(folder, other)], scratch: "\(folder)/scratch")
            for insecure in [false, true] {
                #expect(await code { _ = try await catalogs.entries(of: nil, insecure: insecure) } == .denied)
            }
            try removeFile("\(folder)/catalog/index.json.sig")
            let mine = Catalogs([source(folder, key)], scratch: "\(folder)/scratch")
            #expect(await code { _ = try await mine.entries(of: nil, insecure: true) } == .denied)
        }
    }

    @Test("a file of another content or length than its entry says is corrupt; one that is gone is not found")
    func otherContent() async throws {
        try await withCatalog { folder, key in
            try publish([1, 2, 3], in: folder, key: key)
            let catalogs = Catalogs([source(folder, key)], scratch: "\(folder)/scratch")
            let entry = try #require(try await catalogs.entries(of: "acme", insecure: false).first)
            func fetched() async -> ErrorCode? {
                await code {
                    try await catalogs.fetch(entry, to: "\(folder)/file", insecure: false) { _, _, _, _ in }
                }
            }
            try writeFileAtomically("\(folder)/catalog/base.ext4", [1, 2, 4])
            #expect(await fetched() == .corrupt)
            try writeFileAtomically("\(folder)/catalog/base.ext4", [1, 2, 3, 4])
            #expect(await fetched() == .corrupt)
            try removeFile("\(folder)/catalog/base.ext4")
            #expect(await fetched() == .notFound)
        }
    }

    @Test("a catalog that is not configured or not there is not found; plain http elsewhere is denied")
    func unreachable() async throws {
        try await withCatalog { folder, key in
            let catalogs = Catalogs([source(folder, key)], scratch: "\(folder)/scratch")
            #expect(await code { _ = try await catalogs.entries(of: "other", insecure: false) } == .notFound)
            #expect(await code { _ = try await catalogs.entries(of: "acme", insecure: false) } == .notFound)
            var web = source(folder, key)
            web.url = "http://catalog.invalid/x"
            let plain = Catalogs([web], scratch: "\(folder)/scratch")
            #expect(await code { _ = try await plain.entries(of: "acme", insecure: false) } == .denied)
        }
    }
}
