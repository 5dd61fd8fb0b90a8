/// Names an entry of a configured catalog: `CATALOG/NAME`.
package struct CatalogReference: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The catalog's name in the configuration.
    package var catalog: String
    /// The entry's name.
    package var name: String
    /// Whether a catalog without a key, and plain HTTP, will do.
    package var insecure: Bool

    /// Makes a reference.
    package init(catalog: String, name: String, insecure: Bool = false) {
        self.catalog = catalog
        self.name = name
        self.insecure = insecure
    }

    /// Reads `CATALOG/NAME`, or `NAME`, whose catalog is empty.
    package init(_ text: String, insecure: Bool = false) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        self.init(
            catalog: parts.count == 2 ? parts[0] : "", name: parts.count == 2 ? parts[1] : text, insecure: insecure)
    }

    /// `CATALOG/NAME`.
    package var description: String { catalog.isEmpty ? name : "\(catalog)/\(name)" }
}

/// A catalog as the configuration names it: `NAME=URL`, then `#KEY` or `#KEY,KEY` where it is signed.
package struct CatalogSource: Hashable, Sendable {
    /// How it is called.
    package var name: String
    /// Its folder, which holds `index.json`: `https://…`, `http://…` or an absolute path.
    package var url: String
    /// Raw Ed25519 public keys, 32 bytes in base64 each; a signature of any will do. Empty for an unsigned one.
    package var keys: [String]

    /// Makes a source.
    package init(name: String, url: String, keys: [String]) {
        self.name = name
        self.url = url
        self.keys = keys
    }

    /// Reads a setting. Errors: ``ErrorCode/invalid``.
    package init(_ text: String) throws(CoveyError) {
        let refusal = CoveyError(
            .invalid, "\"\(text)\" is no catalog", remedy: "write NAME=https://HOST/FOLDER#KEY or NAME=/FOLDER#KEY")
        guard let sign = text.firstIndex(of: "=") else { throw refusal }
        let rest = text[text.index(after: sign)...]
        let parts = rest.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        guard let first = parts.first else { throw refusal }
        let isKnown = first.hasPrefix("https://") || first.hasPrefix("http://") || first.hasPrefix("/")
        guard isKnown, first.utf8.allSatisfy({ (33...126).contains($0) }) else { throw refusal }
        name = String(text[..<sign])
        try Names.checkLabel(name, kind: "catalog")
        var folder = first
        while folder.count > 1 && folder.hasSuffix("/") { folder.removeLast() }
        url = folder
        keys = parts.count == 2 ? parts[1].split(separator: ",").map { String($0) } : []
        guard parts.count == 1 || !keys.isEmpty,
            keys.allSatisfy({ key in
                key.utf8.count == 44 && key.utf8.last == 61
                    && key.utf8.dropLast().allSatisfy {
                        (65...90).contains($0) || (97...122).contains($0) || (47...57).contains($0) || $0 == 43
                    }
            })
        else {
            throw CoveyError(
                .invalid, "catalog \(name) has a key that is none",
                remedy: "a key is a raw Ed25519 public key in base64: 44 characters")
        }
    }
}

/// What a catalog offers.
package struct CatalogEntry: Hashable, Codable, Sendable {
    /// What an entry is.
    package enum Kind: String, Codable, Sendable, CaseIterable {
        /// A root file system.
        case image
        /// A kernel with its modules.
        case kernel
        /// A root file system and the kernel that it is booted with, in one file.
        case bundle
    }

    /// The catalog that it stands in.
    package var catalog: String
    /// Its name, unique with kind and architecture.
    package var name: String
    /// What it is.
    package var kind: Kind
    /// The CPU architecture.
    package var architecture: Architecture
    /// Where the file is; relative ones start at the catalog.
    package var url: String
    /// The file's length.
    package var size: ByteCount
    /// 64 hex digits: the SHA-256 digest of the file.
    package var sha256: String
    /// The name of the kernel that an image is booted with; of a bundle, what its kernel is called.
    package var kernel: String?
    /// What it is, for people.
    package var summary: String?

    /// Makes an entry.
    package init(
        catalog: String, name: String, kind: Kind, architecture: Architecture = .amd64, url: String, size: ByteCount,
        sha256: String, kernel: String? = nil, summary: String? = nil
    ) {
        self.catalog = catalog
        self.name = name
        self.kind = kind
        self.architecture = architecture
        self.url = url
        self.size = size
        self.sha256 = sha256
        self.kernel = kernel
        self.summary = summary
    }
}

extension [CatalogEntry] {
    /// The entry of a name and of these kinds, for an architecture.
    ///
    /// Errors: ``ErrorCode/notFound``, ``ErrorCode/unsupported`` where it is for another architecture.
    package func find(
        _ reference: CatalogReference, kinds: Set<CatalogEntry.Kind>, architecture: Architecture
    ) throws(CoveyError) -> CatalogEntry {
        let named = filter { $0.name == reference.name && kinds.contains($0.kind) }
        if let entry = named.first(where: { $0.architecture == architecture }) { return entry }
        if let foreign = named.first {
            throw CoveyError(
                .unsupported,
                "\(reference) is for \(foreign.architecture.rawValue), and this node is \(architecture.rawValue)",
                resource: ResourceReference("catalog entry", reference.description))
        }
        let verb = kinds.contains(.kernel) ? "kernel" : "image"
        throw CoveyError.notFound(
            "catalog entry", reference.description, remedy: "see what there is: covey \(verb) catalog")
    }
}
