/// An image in a registry: where it is, and which one there.
///
/// The grammar is docker's. Source: distribution/reference, `reference.go` and `normalize.go`.
package struct ImageReference: Hashable, Sendable, CustomStringConvertible {
    /// The registry's host, with its port where one is given: `docker.io`, `localhost:5000`, `[::1]:5000`.
    package let registry: String
    /// The repository's path in it: `library/debian`.
    package let repository: String
    /// The tag; nil where none was given.
    package let tag: String?
    /// The manifest's digest; nil where none was given.
    package let digest: ContentDigest?

    private static let standardRegistry = "docker.io"
    private static let standardFolder = "library"
    private static let standardTag = "latest"

    /// Reads a reference. Errors: ``ErrorCode/invalid`` with what is wrong.
    package init(_ text: String) throws(CoveyError) {
        func refusal(_ why: String) -> CoveyError {
            CoveyError(
                .invalid, "\"\(text.shortened)\" is no image reference: \(why)",
                remedy: "write it as docker does: debian, debian:bookworm, registry.example.com/team/app:1.2",
                resource: ResourceReference("image", text.shortened))
        }
        guard text.utf8.count <= 600 else { throw refusal("it is longer than 600 bytes") }
        var rest = text[...]
        var digest: ContentDigest?
        if let at = rest.firstIndex(of: "@") {
            guard let value = ContentDigest(String(rest[rest.index(after: at)...])) else {
                throw refusal("what follows @ is no digest such as sha256: and 64 hexadecimal digits")
            }
            digest = value
            rest = rest[..<at]
        }
        var tag: String?
        let nameEnd = rest.lastIndex(of: "/") ?? rest.startIndex
        if let colon = rest[nameEnd...].lastIndex(of: ":") {
            let value = rest[rest.index(after: colon)...]
            guard value.isTag else { throw refusal("its tag is not 1 to 128 of letters, digits and _.-") }
            tag = String(value)
            rest = rest[..<colon]
        }
        guard !rest.isEmpty else { throw refusal("it has no name") }
        guard !(rest.utf8.count == 64 && rest.utf8.allSatisfy(\.isHexDigit)) else {
            throw refusal("64 hexadecimal digits name an id and no repository")
        }
        var registry = ImageReference.standardRegistry
        var path = rest
        if let slash = rest.firstIndex(of: "/") {
            let first = rest[..<slash]
            if first.utf8.contains(where: { $0 == 46 || $0 == 58 }) || first == "localhost"
                || first.utf8.contains(where: \.isCapital)
            {
                guard first.isRegistry else { throw refusal("\(first.text) is no host of a registry") }
                registry = String(first)
                path = rest[rest.index(after: slash)...]
            }
        }
        if registry == "index.docker.io" { registry = ImageReference.standardRegistry }
        guard !path.utf8.contains(where: \.isCapital) else { throw refusal("a repository's name is in lower case") }
        guard path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(\.isPathComponent) else {
            throw refusal("a part of its path is not of a-z and 0-9, with single . _ or - between them")
        }
        var repository = String(path)
        if registry == ImageReference.standardRegistry, !path.utf8.contains(47) {
            repository = "\(ImageReference.standardFolder)/\(repository)"
        }
        guard registry.utf8.count + 1 + repository.utf8.count <= 255 else {
            throw refusal("its name is longer than 255 bytes")
        }
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest
    }

    private init(registry: String, repository: String, tag: String?, digest: ContentDigest?) {
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest
    }

    /// The same with the tag `latest` where there is neither tag nor digest.
    package var withTag: ImageReference {
        guard tag == nil, digest == nil else { return self }
        return ImageReference(
            registry: registry, repository: repository, tag: ImageReference.standardTag, digest: nil)
    }

    /// The same image by its digest alone.
    package func pinned(to digest: ContentDigest) -> ImageReference {
        ImageReference(registry: registry, repository: repository, tag: nil, digest: digest)
    }

    /// What a registry's manifests are asked for by: the digest where there is one, else the tag.
    package var selector: String { digest?.description ?? tag ?? ImageReference.standardTag }

    /// All that was left out written down: `docker.io/library/debian:latest`.
    package var canonical: String { "\(registry)/\(repository)\(withTag.suffix)" }

    /// As short as docker prints it: `debian:latest`, `registry.example.com/team/app:1.2`.
    package var familiar: String { familiarRepository + withTag.suffix }

    /// As ``canonical``.
    package var description: String { canonical }

    private var familiarRepository: String {
        guard registry == ImageReference.standardRegistry else { return "\(registry)/\(repository)" }
        let prefix = ImageReference.standardFolder + "/"
        return repository.hasPrefix(prefix) ? String(repository.dropFirst(prefix.count)) : repository
    }

    private var suffix: String { (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }
}

/// A digest of content: `sha256:` and 64 lower-case hexadecimal digits. Source: OCI image specification, descriptor.md.
package struct ContentDigest: Hashable, Sendable, CustomStringConvertible, Codable {
    /// The digits alone.
    package let hex: String

    private static let prefix = "sha256:"

    /// Reads a digest; nil for another algorithm and for anything malformed.
    package init?(_ text: String) {
        guard text.hasPrefix(ContentDigest.prefix) else { return nil }
        self.init(hex: String(text.dropFirst(ContentDigest.prefix.count)))
    }

    /// A digest of its digits; nil for anything but 64 of `0-9a-f`.
    package init?(hex: String) {
        guard hex.utf8.count == 64, hex.utf8.allSatisfy(\.isHexDigit) else { return nil }
        self.hex = hex
    }

    /// `sha256:` and the digits.
    package var description: String { ContentDigest.prefix + hex }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let value = ContentDigest(text) else {
            throw CoveyError(
                .unsupported, "\"\(text.shortened)\" is no SHA-256 digest",
                remedy: "use an image that is published with SHA-256 digests")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { (48...57).contains(self) }
    fileprivate var isSmall: Bool { (97...122).contains(self) }
    fileprivate var isCapital: Bool { (65...90).contains(self) }
    fileprivate var isHexDigit: Bool { isDigit || (97...102).contains(self) }
}

extension String {
    /// At most 120 characters, for messages.
    fileprivate var shortened: String { count > 120 ? "\(prefix(120))…" : self }
}

extension Substring {
    fileprivate var text: String { String(self) }

    /// `[\w][\w.-]{0,127}`.
    fileprivate var isTag: Bool {
        guard let first = utf8.first, utf8.count <= 128 else { return false }
        func isWord(_ byte: UInt8) -> Bool { byte.isDigit || byte.isSmall || byte.isCapital || byte == 95 }
        return isWord(first) && utf8.allSatisfy { isWord($0) || $0 == 46 || $0 == 45 }
    }

    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
    fileprivate var isPathComponent: Bool {
        var separator: [UInt8] = []
        var afterLetter = false
        for byte in utf8 {
            if byte.isDigit || byte.isSmall {
                if !separator.isEmpty {
                    let valid =
                        separator == [46] || separator == [95] || separator == [95, 95]
                        || separator.allSatisfy { $0 == 45 }
                    guard valid else { return false }
                    separator = []
                }
                afterLetter = true
            } else if byte == 46 || byte == 95 || byte == 45 {
                guard afterLetter else { return false }
                separator.append(byte)
            } else {
                return false
            }
        }
        return afterLetter && separator.isEmpty
    }

    /// A host name, IPv4 address or IPv6 address in brackets, with a port or without.
    fileprivate var isRegistry: Bool {
        var host = self
        if let colon = lastIndex(of: ":"), !hasSuffix("]") {
            let port = self[index(after: colon)...]
            guard (1...5).contains(port.utf8.count), port.utf8.allSatisfy(\.isDigit), let number = UInt16(port),
                number > 0
            else { return false }
            host = self[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            let inside = host.dropFirst().dropLast()
            return inside.utf8.contains(58)
                && inside.utf8.allSatisfy { $0.isDigit || (97...102).contains($0 | 32) || $0 == 58 }
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { $0.isDigit || $0.isSmall || $0.isCapital || $0 == 45 }
        }
    }
}
