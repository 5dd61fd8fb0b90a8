internal import CoveyModel
internal import GRPCCore
package import GRPCNIOTransportHTTP2Posix
internal import NIOCore

/// How a member is spoken to: HTTP/2 as etcd takes it, whatever is sent.
package enum EtcdTransport {
    package typealias Transport = HTTP2ClientTransport.Posix

    /// A transport to one member without TLS.
    package static func make(_ endpoint: EtcdEndpoint) throws -> Transport { try make(endpoint, nil) }

    /// A transport to one member. Errors: ``ErrorCode/invalid`` for credentials that cannot be used.
    static func make(_ endpoint: EtcdEndpoint, _ tls: EtcdCredentials?) throws -> Transport {
        let config = Transport.Config.defaults { config in
            config.connection.flushCoalescing = nil
            config.connection.maxIdleTime = .seconds(300)
            // etcd takes a ping every 5 s at most, and only with a call under way.
            config.connection.keepalive = .init(time: .seconds(10), timeout: .seconds(10), allowWithoutCalls: false)
            config.http2.targetWindowSize = 1 << 20
            config.http2.authority = nil
            config.channelDebuggingCallbacks.onCreateTCPConnection = { channel in
                channel.eventLoop.makeCompletedFuture { try PingAnswer.add(to: channel) }
            }
            config.channelDebuggingCallbacks.onCreateHTTP2Stream = { channel in
                channel.eventLoop.makeCompletedFuture {
                    let watch = Etcdserverpb_Watch.Method.Watch.descriptor
                    try channel.pipeline.syncOperations.addHandler(
                        WholeRequest(streams: ["/\(watch.service.fullyQualifiedService)/\(watch.method)"]),
                        position: .first)
                }
            }
            config.backoff.initial = .milliseconds(100)
            config.backoff.max = .seconds(2)
        }
        do {
            if endpoint.host.contains(":") {
                return try Transport(
                    target: .ipv6(address: endpoint.host, port: endpoint.port), transportSecurity: security(tls),
                    config: config)
            }
            if endpoint.host.split(separator: ".").count == 4, endpoint.host.allSatisfy({ $0.isNumber || $0 == "." }) {
                return try Transport(
                    target: .ipv4(address: endpoint.host, port: endpoint.port), transportSecurity: security(tls),
                    config: config)
            }
            return try Transport(
                target: .dns(host: endpoint.host, port: endpoint.port), transportSecurity: security(tls),
                config: config)
        } catch {
            throw CoveyError(
                .invalid, "no connection to the etcd at \(endpoint) can be made",
                remedy: "see that the files of ca, cert and key are there, are PEM, and belong together", cause: error)
        }
    }

    private static func security(_ credentials: EtcdCredentials?) -> Transport.TransportSecurity {
        guard let credentials else { return .plaintext }
        return .tls(
            .defaults { config in
                if let authorities = credentials.authorities {
                    config.trustRoots = .certificates([.bytes(authorities, format: .pem)])
                }
                if let certificate = credentials.certificate, let key = credentials.key {
                    config.certificateChain = [.bytes(certificate, format: .pem)]
                    config.privateKey = .bytes(key, format: .pem)
                }
            })
    }
}
