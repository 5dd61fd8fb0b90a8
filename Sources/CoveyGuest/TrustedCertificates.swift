internal import CoveyGuestProtocol
internal import CoveySystem
internal import Glibc

/// Certificate authorities that the machine's programs trust beside the image's.
///
/// They are put where the distribution's own tool looks for those of an administrator, and into the bundle that it makes
/// of them: so its next run, in an upgrade of its package, keeps them. A bundle that is mounted over would make that
/// run fail, since it renames a new file into its place. docs/adr/0015-guest-network.md says more.
enum TrustedCertificates {
    /// Where a distribution has its certificates.
    struct Store: Equatable {
        /// All that programs trust, one after the other.
        var bundle: String
        /// The administrator's, one file each.
        var anchors: String
        /// How the names of these end.
        var suffix: String
    }

    /// Debian, Ubuntu, Alpine, Gentoo; Fedora and its kin; SUSE.
    static let stores = [
        Store(
            bundle: "/etc/ssl/certs/ca-certificates.crt", anchors: "/usr/local/share/ca-certificates", suffix: ".crt"),
        Store(
            bundle: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", anchors: "/etc/pki/ca-trust/source/anchors",
            suffix: ".pem"),
        Store(bundle: "/var/lib/ca-certificates/ca-bundle.pem", anchors: "/etc/pki/trust/anchors", suffix: ".pem"),
    ]

    /// What programs get where the image has no bundle: these certificates alone.
    static let own = "/run/covey/etc/certificates.pem"

    private static let prefix = "covey-"

    /// Lets the machine trust exactly these beside the image's own; what an earlier start brought and is not among them
    /// goes. What fails is on the console.
    static func install(_ certificates: [String]) {
        let wanted = certificates.flatMap(blocks)
        if !wanted.isEmpty {
            attempt { () throws(SystemError) in
                try makeFolder(parentFolder(own), mode: 0o755)
                try writeFileAtomically(own, Array(wanted.joined().utf8), mode: 0o644)
            }
        }
        for store in stores where fileExists(store.bundle) {
            attempt { () throws(SystemError) in try settle(store, wanted) }
        }
    }

    /// Where programs that look elsewhere find the certificates, by the variables that they heed.
    static var environment: [String: String] {
        let bundle = stores.first { fileExists($0.bundle) }?.bundle ?? own
        return ["SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle, "NODE_EXTRA_CA_CERTS": own]
    }

    /// Brings a store to hold these and none that was brought before.
    static func settle(_ store: Store, _ wanted: [String]) throws(SystemError) {
        var before: [String: [String]] = [:]
        for name in (try? listFolder(store.anchors)) ?? [] where name.hasPrefix(prefix) && name.hasSuffix(store.suffix)
        {
            before[name] = blocks(of: try readText("\(store.anchors)/\(name)"))
        }
        let gone = Set(before.values.joined()).subtracting(wanted)
        guard !wanted.isEmpty || !before.isEmpty else { return }
        let after = Dictionary(wanted.map { (name(of: $0) + store.suffix, $0) }) { first, _ in first }
        if !after.isEmpty { try makeFolder(store.anchors, mode: 0o755) }
        for (name, block) in after where before[name] != [block] {
            try writeFileAtomically("\(store.anchors)/\(name)", Array(block.utf8), mode: 0o644)
        }
        let bundle = String(decoding: try readFile(store.bundle), as: UTF8.self)
        let changed = merged(bundle, removing: gone, adding: wanted)
        if changed != bundle {
            // The bundle may be a link to where another tool keeps it.
            try writeFileAtomically(resolved(store.bundle), Array(changed.utf8), mode: 0o644)
        }
        // Last: what brought them is known until they are gone.
        for name in before.keys where after[name] == nil { try removeFile("\(store.anchors)/\(name)") }
    }

    private static func name(of block: String) -> String {
        let digits = String(CRC32C.checksum(Array(block.utf8)), radix: 16)
        return prefix + String(repeating: "0", count: 8 - digits.count) + digits
    }

    private static func resolved(_ path: String) -> String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }

    // MARK: the texts

    private static let begin = "-----BEGIN CERTIFICATE-----"
    private static let end = "-----END CERTIFICATE-----"

    /// The certificates of a text in PEM form, each with its borders and a newline at the end.
    static func blocks(of text: String) -> [String] {
        pieces(of: text).compactMap { $0.isCertificate ? $0.text : nil }
    }

    /// A bundle without some certificates and with others, each once.
    static func merged(_ bundle: String, removing gone: Set<String>, adding wanted: [String]) -> String {
        let pieces = pieces(of: bundle)
        var there = Set(pieces.filter(\.isCertificate).map(\.text))
        let isChanged = !there.isDisjoint(with: gone) || !there.isSuperset(of: wanted)
        guard isChanged else { return bundle }
        var text = pieces.filter { !$0.isCertificate || !gone.contains($0.text) }.map(\.text).joined()
        for block in wanted where there.insert(block).inserted { text += block }
        return text
    }

    private static func pieces(of text: String) -> [(text: String, isCertificate: Bool)] {
        var pieces: [(text: String, isCertificate: Bool)] = []
        var open: [String]?
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.trimmed
            if line == begin { open = [] }
            guard open != nil else {
                pieces.append((line + "\n", false))
                continue
            }
            open?.append(line + "\n")
            if line == end, let block = open {
                pieces.append((block.joined(), true))
                open = nil
            }
        }
        // A certificate without its end is none.
        pieces += (open ?? []).map { ($0, false) }
        return pieces
    }
}
