internal import AsyncHTTPClient
internal import CoveyModel
internal import FoundationEssentials
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// An attempt that failed on the way: no connection, a cut, a silence, or an answer that says later.
struct TransferFailure: Error, CustomStringConvertible {
    let description: String
    /// Whether the same attempt can succeed later.
    let isTransient: Bool
    /// What the server asked to wait.
    var pause: Duration?
    /// What to do about it.
    var remedy: String?
    /// What lay below it, for people.
    var cause: String?
    /// Bytes that had come before.
    var received: Int64 = 0

    /// The failure of an exchange. `CancellationError` stays what it is.
    static func wrapping(_ error: any Error, at url: URL) -> any Error {
        if error is CancellationError || error is CoveyError || error is TransferFailure { return error }
        if let http = error as? HTTPClientError, http == .cancelled { return CancellationError() }
        if error is NIOSSLError || error is NIOSSLExtraError {
            return TransferFailure(
                description: "TLS with \(url.host() ?? "the server") failed", isTransient: false,
                remedy: "where a private authority signed its certificate, give that one (registry.ca, or "
                    + "/etc/containers/certs.d/HOST/ca.crt); where it serves plain http, say so: --plain-http",
                cause: tlsText(error))
        }
        return TransferFailure(
            description: "\(url.text): \(text(error))", isTransient: true,
            remedy: "check that the registry is up and can be reached from this host")
    }

    /// As the error that crosses borders.
    var coveyError: CoveyError {
        var error = CoveyError(.unavailable, description, remedy: remedy, retryable: isTransient)
        if let cause { error.causes.append(cause) }
        return error
    }

    /// BoringSSL's words without where in its source they stand.
    private static func tlsText(_ error: any Error) -> String {
        let words = "\(error)".split(separator: ":").map { $0.prefix { $0 != " " } }
        let name = words.first { $0.contains("_") && $0.allSatisfy { $0.isUppercase || $0 == "_" } }
        return name.map { String($0.lowercased().map { $0 == "_" ? " " : $0 }) } ?? "\(error)"
    }

    private static func text(_ error: any Error) -> String {
        if let http = error as? HTTPClientError {
            if http == .readTimeout { return "no byte came in time" }
            if http == .connectTimeout { return "no connection in time" }
            if http == .remoteConnectionClosed { return "the connection was cut" }
            return http.shortDescription
        }
        if let failure = error as? NIOConnectionError {
            return failure.connectionErrors.first.map { text($0.error) } ?? "no host of this name was found"
        }
        if let failure = error as? IOError { return String(cString: strerror(failure.errnoCode)).lowercased() }
        if error is SocketAddressError { return "no host of this name was found" }
        return "\(error)"
    }
}
