internal import CoveySystem
internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// An authority of a test, whose certificates last as long as the test wants.
struct TestAuthority: Sendable {
    /// Its certificate as PEM.
    let pem: String
    private let certificate: Certificate
    private let key: P256.Signing.PrivateKey

    init(_ name: String, lasting life: Duration = .seconds(86400)) throws {
        let own = P256.Signing.PrivateKey()
        let identifier = ArraySlice(Insecure.SHA1.hash(data: own.publicKey.rawRepresentation))
        let subject = try DistinguishedName { CommonName(name) }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(own.publicKey),
            notValidBefore: Date().addingTimeInterval(-3600),
            notValidAfter: Date().addingTimeInterval(TimeInterval(life.components.seconds)), issuer: subject,
            subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
                SubjectKeyIdentifier(keyIdentifier: identifier)
            }, issuerPrivateKey: .init(own))
        key = own
        self.certificate = certificate
        pem = try certificate.serializeAsPEM().pemString + "\n"
    }

    /// Puts `NAME.key` and `NAME.pem` in a folder by rename; returns when the certificate ends.
    @discardableResult
    func issue(_ name: String, in folder: String, lasting life: Duration = .seconds(86400)) throws -> Date {
        let own = P256.Signing.PrivateKey()
        // A certificate has whole seconds, and would round to the next one.
        let end = Date(
            timeIntervalSince1970: (Date().timeIntervalSince1970 + TimeInterval(life.components.seconds)).rounded(.down)
        )
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(own.publicKey),
            notValidBefore: Date().addingTimeInterval(-3600), notValidAfter: end, issuer: self.certificate.subject,
            subject: try DistinguishedName { CommonName(name) }, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectAlternativeNames([
                    .dnsName("localhost"), .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                ])
            }, issuerPrivateKey: .init(key))
        try writeFileAtomically("\(folder)/\(name).key", Array(own.pemRepresentation.utf8))
        try writeFileAtomically("\(folder)/\(name).pem", Array(try certificate.serializeAsPEM().pemString.utf8))
        return end
    }
}
