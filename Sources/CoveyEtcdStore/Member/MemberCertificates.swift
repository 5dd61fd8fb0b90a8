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
    private var place: String { "\(folder.path)/pki" }

    init(_ folder: MemberFolder) { self.folder = folder }

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
                notValidBefore: now.addingTimeInterval(-Self.day), notValidAfter: now.addingTimeInterval(Self.life),
                issuer: authority.certificate.subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    // Members are clients of each other.
                    try ExtendedKeyUsage(isMember ? [.serverAuth, .clientAuth] : [.clientAuth])
                    SubjectAlternativeNames([
                        .dnsName("localhost"), .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                    ])
                }, issuerPrivateKey: .init(authority.key))
            // The key first: one without the other is made anew.
            try write("\(name).key", key.pemRepresentation, isOfMember: isMember)
            try write("\(name).pem", try certificate.serializeAsPEM().pemString, isOfMember: isMember)
            made = true
        }
        return made
    }

    private func authority(_ now: Date) throws -> (certificate: Certificate, key: P256.Signing.PrivateKey) {
        if fileExists("\(place)/ca.pem") {
            return (
                try Certificate(pemEncoded: try readText("\(place)/ca.pem")),
                try P256.Signing.PrivateKey(pemRepresentation: try readText("\(place)/ca.key"))
            )
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
        try write("ca.pem", try certificate.serializeAsPEM().pemString, isOfMember: true)
        return (certificate, key)
    }

    private func isDue(_ name: String, _ now: Date, _ authority: Certificate) throws -> Bool {
        guard fileExists("\(place)/\(name).pem"), fileExists("\(place)/\(name).key") else { return true }
        let certificate = try Certificate(pemEncoded: try readText("\(place)/\(name).pem"))
        let key = try P256.Signing.PrivateKey(pemRepresentation: try readText("\(place)/\(name).key"))
        return certificate.notValidAfter < now.addingTimeInterval(Self.life / 2)
            || certificate.publicKey != Certificate.PublicKey(key.publicKey) || certificate.issuer != authority.subject
    }

    private func write(_ name: String, _ text: String, isOfMember: Bool) throws {
        try writeFileAtomically("\(place)/\(name)", Array(text.utf8))
        if isOfMember { try folder.give("\(place)/\(name)") }
    }
}
