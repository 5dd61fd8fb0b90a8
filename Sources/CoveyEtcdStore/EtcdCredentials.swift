internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// What the files of TLS held when they were read. Connections are made from it, so that files which are being
/// replaced one after the other never meet half of each.
struct EtcdCredentials: Hashable, Sendable {
    /// The files.
    let tls: EtcdTLS
    /// The authorities' certificates as PEM; nil is the system's.
    let authorities: [UInt8]?
    /// Our certificate with its chain as PEM; nil shows none.
    let certificate: [UInt8]?
    /// The key of our certificate as PEM.
    let key: [UInt8]?

    /// Reads the files, which blocks. Errors: ``ErrorCode/invalid`` for one that cannot be read.
    init(_ tls: EtcdTLS) throws(CoveyError) {
        self.tls = tls
        authorities = try EtcdCredentials.read(tls.authorities)
        certificate = try EtcdCredentials.read(tls.certificate)
        key = try EtcdCredentials.read(tls.key)
    }

    private static func read(_ path: String?) throws(CoveyError) -> [UInt8]? {
        guard let path else { return nil }
        do throws(SystemError) { return try readFile(path, limit: 1 << 20) } catch {
            throw CoveyError(
                .invalid, "\(path) cannot be read", remedy: "see that the files of ca, cert and key are there",
                cause: error)
        }
    }

    /// What the time has to do with a connection that failed: the file whose certificates do not count now, and since
    /// or until when. Nil where all count, or where their times cannot be told.
    func trouble(now: Date) -> CoveyError? {
        if let path = tls.certificate, let own = EtcdCredentials.certificates(certificate).first,
            let words = EtcdCredentials.untimely(own, now)
        {
            return CoveyError(
                .unavailable, "our certificate \(path) \(words)",
                remedy: "put a new certificate and its key in the place of the files by rename; they are read again "
                    + "by themselves")
        }
        let trusted = EtcdCredentials.certificates(authorities)
        guard let path = tls.authorities, let last = trusted.max(by: { $0.notValidAfter < $1.notValidAfter }),
            trusted.allSatisfy({ EtcdCredentials.untimely($0, now) != nil }),
            let words = EtcdCredentials.untimely(last, now)
        else { return nil }
        return CoveyError(
            .unavailable, "no authority in \(path) counts: the last \(words)",
            remedy: "put a file with the members' authority in its place by rename; it is read again by itself")
    }

    private static func certificates(_ pem: [UInt8]?) -> [Certificate] {
        guard let pem else { return [] }
        do {
            let documents = try PEMDocument.parseMultiple(pemString: String(decoding: pem, as: UTF8.self))
            return try documents.map { try Certificate(pemDocument: $0) }
        } catch {
            // TLS has its own reader; this one only explains.
            return []
        }
    }

    private static func untimely(_ certificate: Certificate, _ now: Date) -> String? {
        func text(_ date: Date) -> String {
            Timestamp(milliseconds: Int64(date.timeIntervalSince1970 * 1000)).description
        }
        if certificate.notValidAfter < now { return "ended at \(text(certificate.notValidAfter))" }
        if certificate.notValidBefore > now { return "begins at \(text(certificate.notValidBefore))" }
        return nil
    }
}
