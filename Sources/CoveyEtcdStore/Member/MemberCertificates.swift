internal import CoveyModel
internal import CoveySystem
internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// The certificates of a member of our own: an authority that is made once, and certificates for the member and for
/// us that are made anew long before they end. The member reads its own at each connection.
struct MemberCertificates: Sendable {
    private static let day: TimeInterval = 24 * 3600
    private static let authorityLife = 3650 * day
    /// How long the others last.
    static let life = 90 * day
    private let folder: MemberFolder
    private let host: String?
    private let life: TimeInterval
    private var place: String { "\(folder.path)/pki" }

    /// Certificates in a member's folder.
    ///
    /// - Parameters:
    ///   - host: The address where others reach it; nil is loopback alone.
    ///   - life: How long those of members and clients last, in seconds.
    init(_ folder: MemberFolder, host: String? = nil, life: TimeInterval = Self.life) {
        self.folder = folder
        self.host = host
        self.life = life
    }

    /// Takes over the authority that all members share: `ca.pem`, which may have several certificates while one
    /// authority gives way to another, and `ca.key`, which belongs to one of them.
    ///
    /// - Throws: ``ErrorCode/denied`` for a key that others may read, ``ErrorCode/invalid`` for files that do not
    ///   belong together.
    func adopt(_ source: String) throws {
        let (bundle, key) = ("\(source)/ca.pem", "\(source)/ca.key")
        for path in [bundle, key] where !fileExists(path) {
            throw CoveyError(
                .notFound, "there is no \(path)",
                remedy: "copy ca.pem and ca.key of a member's state/etcd/pki there, as root, with mode 0600")
        }
        guard try FileFacts(key).mode & 0o077 == 0 else {
            throw CoveyError(.denied, "\(key) can be read by others", remedy: "chmod 600 \(key)")
        }
        let secret = try readText(key)
        let certificates = try Self.text(try Self.signer(try readText(bundle), secret, bundle).all)
        let known =
            fileExists("\(place)/ca.pem") && fileExists("\(place)/ca.key")
            ? (try readText("\(place)/ca.pem"), try readText("\(place)/ca.key")) : ("", "")
        guard known != (certificates, secret) else { return }
        // The bundle last: with it the authority is there. Until then the key may be another one's, which the next
        // start mends.
        try write("ca.key", secret, isOfMember: false)
        try write("ca.pem", certificates, isOfMember: true)
    }

    /// The certificate of a bundle that a key belongs to.
    private static func signer(
        _ bundle: String, _ secret: String, _ path: String
    ) throws -> (certificate: Certificate, key: P256.Signing.PrivateKey, all: [Certificate]) {
        do {
            let key = try P256.Signing.PrivateKey(pemRepresentation: secret)
            let all = try PEMDocument.parseMultiple(pemString: bundle).map { try Certificate(pemDocument: $0) }
            if let found = all.first(where: { $0.publicKey == Certificate.PublicKey(key.publicKey) }) {
                return (found, key, all)
            }
        } catch {
            throw CoveyError(
                .invalid, "the authority in \(path) cannot be read: \(error)",
                remedy: "it is made of ca.pem and ca.key in PEM form, with a key of P-256")
        }
        throw CoveyError(
            .invalid, "no certificate in \(path) belongs to the key beside it",
            remedy: "copy ca.pem and ca.key of the same member")
    }

    /// Certificates in PEM form, with an end of line after each: what is put together by cat is read by all.
    private static func text(_ certificates: [Certificate]) throws -> String {
        try certificates.map { try $0.serializeAsPEM().pemString + "\n" }.joined()
    }

    /// The digest of the authorities, which a member reads at its start alone.
    func trusted() throws -> String {
        SHA256.hash(data: Array(try readText("\(place)/ca.pem").utf8))
            .map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Makes what is missing or has less than half of its time left. Returns whether something was made.
    func ensure(now: Date) throws -> Bool {
        let authority = try authority(now)
        var made = false
        for (name, isMember) in [("member", true), ("client", false)] where try isDue(name, now, authority.certificate)
        {
            let key = P256.Signing.PrivateKey()
            let subject = try DistinguishedName { CommonName("covey \(name)") }
            let certificate = try Certificate(
                version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey),
                notValidBefore: now.addingTimeInterval(-Self.day), notValidAfter: now.addingTimeInterval(life),
                issuer: authority.certificate.subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    // Members are clients of each other.
                    try ExtendedKeyUsage(isMember ? [.serverAuth, .clientAuth] : [.clientAuth])
                    SubjectAlternativeNames(names)
                }, issuerPrivateKey: .init(authority.key))
            // The key first: one without the other is made anew.
            try write("\(name).key", key.pemRepresentation, isOfMember: isMember)
            try write("\(name).pem", try Self.text([certificate]), isOfMember: isMember)
            made = true
        }
        return made
    }

    private func authority(_ now: Date) throws -> (certificate: Certificate, key: P256.Signing.PrivateKey) {
        if fileExists("\(place)/ca.pem") {
            let found = try Self.signer(
                try readText("\(place)/ca.pem"), try readText("\(place)/ca.key"), "\(place)/ca.pem")
            return (found.certificate, found.key)
        }
        let key = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("covey store") }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey),
            notValidBefore: now.addingTimeInterval(-Self.day),
            notValidAfter: now.addingTimeInterval(Self.authorityLife),
            issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
            }, issuerPrivateKey: .init(key))
        try write("ca.key", key.pemRepresentation, isOfMember: false)
        try write("ca.pem", try Self.text([certificate]), isOfMember: true)
        return (certificate, key)
    }

    private func isDue(_ name: String, _ now: Date, _ authority: Certificate) throws -> Bool {
        guard fileExists("\(place)/\(name).pem"), fileExists("\(place)/\(name).key") else { return true }
        let certificate = try Certificate(pemEncoded: try readText("\(place)/\(name).pem"))
        let key = try P256.Signing.PrivateKey(pemRepresentation: try readText("\(place)/\(name).key"))
        let known = try certificate.extensions.subjectAlternativeNames.map { Array($0) }
        return certificate.notValidAfter < now.addingTimeInterval(life / 2) || known != names
            || certificate.publicKey != Certificate.PublicKey(key.publicKey)
            || !authority.publicKey.isValidSignature(certificate.signature, for: certificate)
    }

    /// What others may call it.
    private var names: [GeneralName] {
        var names: [GeneralName] = [
            .dnsName("localhost"), .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
        ]
        guard let host, host != "127.0.0.1", let address = IPAddress(host) else { return names }
        var bytes: [UInt8]
        switch address {
        case .v4(let four): bytes = (0..<4).map { UInt8(truncatingIfNeeded: four.bits >> (24 - 8 * $0)) }
        case .v6(let six):
            bytes = [six.high, six.low].flatMap { half in
                (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) }
            }
        }
        names.append(.ipAddress(ASN1OctetString(contentBytes: bytes[...])))
        return names
    }

    private func write(_ name: String, _ text: String, isOfMember: Bool) throws {
        try writeFileAtomically("\(place)/\(name)", Array(text.utf8))
        if isOfMember { try folder.give("\(place)/\(name)") }
    }
}
