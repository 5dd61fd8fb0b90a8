internal import CoveyAPI
package import CoveyModel
internal import CoveySystem
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc

/// Calls a daemon: model values in and out, ``CoveyError`` for every failure, a deadline on every call.
package struct CoveyClient: Sendable {
    typealias Transport = HTTP2ClientTransport.Posix

    /// The daemon.
    package let endpoint: DaemonEndpoint
    /// The tenant of every call.
    package let tenant: String
    /// How long a call may take that is not a stream.
    package var timeout: Duration

    let machines: Covey_V1_VirtualMachines.Client<Transport>
    let consoles: Covey_V1_Consoles.Client<Transport>
    let images: Covey_V1_Images.Client<Transport>
    let kernels: Covey_V1_Kernels.Client<Transport>
    let registries: Covey_V1_Registries.Client<Transport>
    let volumes: Covey_V1_Volumes.Client<Transport>
    let networks: Covey_V1_Networks.Client<Transport>
    let catalogs: Covey_V1_Catalogs.Client<Transport>
    let operations: Covey_V1_Operations.Client<Transport>
    let monitoring: Covey_V1_Monitoring.Client<Transport>
    let system: Covey_V1_System.Client<Transport>
    let shells: Covey_V1_Shells.Client<Transport>
    let streams: Covey_V1_Streams.Client<Transport>
    let events: Covey_V1_Events.Client<Transport>

    /// Runs `body` with a connection, which is closed behind it.
    ///
    /// - Parameters:
    ///   - endpoint: The daemon.
    ///   - tenant: The tenant of every call.
    ///   - timeout: How long a call may take that is not a stream.
    /// - Throws: what `body` throws; ``ErrorCode/unavailable`` with what to do where there is no daemon.
    package static func connect<Result: Sendable>(
        to endpoint: DaemonEndpoint, tenant: String = "default", timeout: Duration = .seconds(30),
        _ body: @escaping @Sendable (CoveyClient) async throws -> Result
    ) async throws -> Result {
        if let reason = unreachable(endpoint) { throw reason }
        let transport: Transport
        do {
            transport = try Transport(
                target: .unixDomainSocket(path: endpoint.socket, authority: "localhost"), transportSecurity: .plaintext,
                config: .defaults { config in
                    config.connection.flushCoalescing = nil
                    config.connection.keepalive = .init(
                        time: .seconds(30), timeout: .seconds(20), allowWithoutCalls: false)
                    config.http2.maxFrameSize = 1 << 20
                    config.backoff.initial = .milliseconds(50)
                    config.backoff.max = .seconds(1)
                })
        } catch { throw CoveyError(.internalError, "no connection could be made to \(endpoint)", cause: error) }
        return try await withGRPCClient(transport: transport) { client in
            try await body(CoveyClient(client, endpoint: endpoint, tenant: tenant, timeout: timeout))
        }
    }

    private init(_ client: GRPCClient<Transport>, endpoint: DaemonEndpoint, tenant: String, timeout: Duration) {
        self.endpoint = endpoint
        self.tenant = tenant
        self.timeout = timeout
        machines = .init(wrapping: client)
        consoles = .init(wrapping: client)
        images = .init(wrapping: client)
        kernels = .init(wrapping: client)
        registries = .init(wrapping: client)
        volumes = .init(wrapping: client)
        networks = .init(wrapping: client)
        catalogs = .init(wrapping: client)
        operations = .init(wrapping: client)
        monitoring = .init(wrapping: client)
        system = .init(wrapping: client)
        shells = .init(wrapping: client)
        streams = .init(wrapping: client)
        events = .init(wrapping: client)
    }

    /// A new request id.
    package static func requestID() -> String {
        Identifier<Operation>(
            time: Timestamp(milliseconds: Int64(time(nil)) * 1000),
            random: (UInt64.random(in: .min ... .max), .random(in: .min ... .max))
        ).description
    }

    /// Why a daemon cannot be reached; nil where its socket takes connections.
    package static func unreachable(_ endpoint: DaemonEndpoint) -> CoveyError? {
        do throws(SystemError) {
            _ = try connectUnix(endpoint.socket)
            return nil
        } catch {
            if error.isErrno(EAGAIN) { return nil }
            if error.isErrno(EACCES) || error.isErrno(EPERM) {
                return CoveyError(
                    .unavailable, "you may not use the covey daemon at \(endpoint)",
                    remedy: "use sudo, or ask to be put into the socket's group and log in anew", retryable: false)
            }
            if error.isErrno(ENOENT) || error.isErrno(ECONNREFUSED) || error.isErrno(ENOTDIR) {
                return CoveyError(
                    .unavailable, "the covey daemon is not running at \(endpoint)",
                    remedy: "start it (covey daemon, or ./quickstart), or name another with --host or COVEY_HOST")
            }
            return CoveyError(.unavailable, "the covey daemon cannot be reached at \(endpoint)", cause: error)
        }
    }

    /// Options of a call that answers once.
    var options: CallOptions {
        var options = streamOptions
        options.timeout = timeout
        return options
    }

    /// Options of a stream: no deadline, since the connection's keepalive finds a daemon that is gone.
    var streamOptions: CallOptions {
        var options = CallOptions.defaults
        // Named for requests, it bounds what is received.
        options.maxRequestMessageBytes = 64 << 20
        return options
    }

    /// A call that may be repeated: a read, or a mutation with its request id.
    func repeatable<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
        var pause = Duration.milliseconds(100)
        for _ in 0..<3 {
            do {
                return try await once(body)
            } catch let error as CoveyError where error.code == .outcomeUnknown {
                // The request id makes the repeat return the first result. The pause is back-off: nothing tells when a
                // store that could not say what became of a write is well again.
                try await Task.sleep(for: pause)
                pause *= 3
            }
        }
        return try await once(body)
    }

    /// A call whose failure is told as what it is.
    func once<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch { throw translate(error) }
    }

    private func translate(_ error: any Error) -> CoveyError {
        guard let status = error as? RPCError else { return CoveyError.wrapping(error) }
        let sent = CoveyError(status)
        if sent.code == .unavailable && sent.remedy == nil, let reason = CoveyClient.unreachable(endpoint) {
            return reason
        }
        if Task.isCancelled && sent.code != .cancelled && sent.remedy == nil {
            return CoveyError(.cancelled, "the call was cancelled")
        }
        return sent
    }
}
