package import CoveyModel
internal import FoundationEssentials

/// The content of a catalog's `index.json`: `{"version":1,"entries":[…]}`. Nothing in it is trusted but what it says.
package struct CatalogIndex: Hashable, Sendable {
    /// The longest index that is read.
    package static let largest = ByteCount.mebibytes(4)
    private static let mostEntries = 10_000
    private static let largestFile = ByteCount.gibibytes(256)
    private static let version = 1

    /// What it offers, in its order.
    package let entries: [CatalogEntry]

    private struct Body: Decodable {
        var version: Int
        var entries: [AnyEntry]
    }

    private struct Version: Decodable {
        var version: Int
    }

    /// An entry, or nothing where its kind is one that a newer program knows.
    private struct AnyEntry: Decodable {
        var entry: Entry?

        enum CodingKeys: String, CodingKey { case kind }

        init(from decoder: any Decoder) throws {
            let kind = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .kind)
            entry = CatalogEntry.Kind(rawValue: kind) == nil ? nil : try Entry(from: decoder)
        }
    }

    private struct Entry: Decodable {
        var name: String
        var kind: String
        var arch: String
        var url: String
        var size: Int64
        var sha256: String
        var kernel: String?
        var summary: String?
    }

    /// Reads an index.
    ///
    /// - Parameters:
    ///   - bytes: The content of `index.json`.
    ///   - catalog: What the catalog is called here.
    /// - Throws: ``ErrorCode/corrupt`` naming the entry, ``ErrorCode/unsupported`` for a newer version.
    package init(_ bytes: [UInt8], catalog: String) throws(CoveyError) {
        func damaged(_ what: String) -> CoveyError {
            CoveyError(.corrupt, "the index of catalog \(catalog) cannot be read: \(what)")
        }
        guard bytes.count <= CatalogIndex.largest.bytes else {
            throw damaged("it is longer than \(CatalogIndex.largest)")
        }
        let data = Data(bytes)
        guard let version = try? JSONDecoder().decode(Version.self, from: data).version else {
            throw damaged("it is no JSON object with a version")
        }
        guard version == CatalogIndex.version else {
            throw CoveyError(
                .unsupported, "catalog \(catalog) has version \(version), this program reads \(CatalogIndex.version)",
                remedy: "use a newer Covey")
        }
        guard let body = try? JSONDecoder().decode(Body.self, from: data) else {
            throw damaged("an entry lacks name, kind, arch, url, size or sha256")
        }
        guard body.entries.count <= CatalogIndex.mostEntries else {
            throw damaged("it has more than \(CatalogIndex.mostEntries) entries")
        }
        var entries: [CatalogEntry] = []
        var seen: Set<String> = []
        for entry in body.entries.compactMap(\.entry) {
            // What a newer Covey may know.
            guard let kind = CatalogEntry.Kind(rawValue: entry.kind),
                let architecture = CatalogIndex.architecture(entry.arch)
            else { continue }
            if let problem = CatalogIndex.problem(entry, kind) {
                throw damaged("entry \"\(entry.name.prefix(64))\" \(problem)")
            }
            guard seen.insert("\(kind.rawValue) \(architecture.rawValue) \(entry.name)").inserted else {
                throw damaged("entry \"\(entry.name)\" is there twice")
            }
            entries.append(
                CatalogEntry(
                    catalog: catalog, name: entry.name, kind: kind, architecture: architecture, url: entry.url,
                    size: ByteCount(entry.size), sha256: entry.sha256, kernel: entry.kernel, summary: entry.summary))
        }
        self.entries = entries
    }

    private static func architecture(_ text: String) -> Architecture? {
        switch text {
        case "x86_64", "amd64": .amd64
        case "aarch64", "arm64": .arm64
        case _: nil
        }
    }

    private static func problem(_ entry: Entry, _ kind: CatalogEntry.Kind) -> String? {
        guard isName(entry.name) else { return "has no valid name" }
        guard (1...largestFile.bytes).contains(entry.size) else { return "has no valid size" }
        guard ContentDigest(hex: entry.sha256) != nil else { return "has no valid sha256" }
        guard isAddress(entry.url) else { return "has no valid url" }
        if let kernel = entry.kernel {
            guard isName(kernel) else { return "names a kernel that is none" }
            guard kind != .kernel else { return "is a kernel that names a kernel" }
        } else if kind == .bundle {
            return "is a bundle without the name of its kernel"
        }
        guard (entry.summary ?? "").utf8.count <= 1024 else { return "has too long a summary" }
        return nil
    }

    /// What image and kernel names have in common.
    private static func isName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
                    || "._+-".utf8.contains(byte)
            } && (name.first?.isLetter == true || name.first?.isNumber == true)
    }

    /// `https://…`, `http://…`, or a path below the catalog.
    private static func isAddress(_ url: String) -> Bool {
        guard (1...2048).contains(url.utf8.count), url.utf8.allSatisfy({ (33...126).contains($0) }) else {
            return false
        }
        if url.hasPrefix("https://") || url.hasPrefix("http://") { return true }
        let parts = url.split(separator: "/", omittingEmptySubsequences: false)
        return !url.hasPrefix("/") && !url.contains(":") && !parts.contains("..") && !parts.contains("")
    }
}
