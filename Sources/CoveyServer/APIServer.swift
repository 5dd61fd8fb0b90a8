internal import CoveyAPI
package import CoveyModel
package import CoveyStore
internal import CoveySystem
package import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
package import Logging
internal import NIOPosix
internal import Synchronization

/// The API on a Unix socket.
package final class APIServer: Sendable {
    private let context: ServiceContext
    private let authorizer: any Authorizer
    private let descriptors: APIDescriptors
    private let logger: Logger
    private let shutdown = ShutdownSignal()
    private let health: HealthStatus
    /// What was counted of its calls.
    package let counters = CallCounters()

    /// Makes a server; it touches nothing until ``run(onReady:)``.
    ///
    /// - Parameters:
    ///   - settings: What the configuration says.
    ///   - repositories: What is wanted and what was seen.
    ///   - gateway: The hosts.
    ///   - ids: Makes request ids for callers that give none.
    ///   - storeConditions: What is known of the store this moment.
    package init(
        settings: ServerSettings, repositories: Repositories, gateway: any NodeGateway, ids: IdentifierSource,
        storeConditions: @escaping @Sendable () -> [Condition] = { [] },
        authorizer: any Authorizer = SocketAuthorizer(), logger: Logger
    ) throws {
        context = ServiceContext(
            repositories: repositories, gateway: gateway, settings: settings, ids: ids, storeConditions: storeConditions
        )
        self.authorizer = authorizer
        self.logger = logger
        descriptors = try APIDescriptors()
        health = HealthStatus(services: descriptors.services)
    }

    /// Keeps the facts of this node for when the store does not answer.
    package func remember(_ node: Node) { context.lastNode.set(node) }

    /// Binds the socket and serves until ``beginShutdown()`` or until it is cancelled; then the socket's file is gone.
    ///
    /// - Parameter onReady: Called once, when callers can connect.
    /// - Throws: ``ErrorCode/conflict`` where another daemon serves there.
    package func run(onReady: @escaping @Sendable () -> Void = {}) async throws {
        let socket = try ListeningSocket(path: context.settings.socket, group: context.settings.socketGroup)
        let transport = HTTP2ServerTransport.Posix(
            listeningSocketDescriptor: Int(try socket.duplicate()), transportSecurity: .plaintext,
            config: transportConfiguration)
        let server = makeServer(transport, callers: .peerCredentials)
        logger.info("serving", metadata: ["socket": "\(socket.path)"])
        do {
            try await withTaskCancellationHandler {
                try await withThrowingDiscardingTaskGroup { group in
                    group.addTask { try await server.serve() }
                    group.addTask { [shutdown, health] in
                        await shutdown.wait()
                        health.set(serving: false)
                        server.beginGracefulShutdown()
                    }
                    // The socket listens already: who connects from here on is served.
                    onReady()
                }
            } onCancel: {
                beginShutdown()
            }
        } catch {
            try socket.remove()
            throw error
        }
        try socket.remove()
        logger.info("stopped serving")
    }

    /// Serves over another transport, all of whose callers are one; for tests and for surfaces in this process.
    package func run<Transport: ServerTransport>(transport: Transport, as caller: Caller) async throws {
        let server = makeServer(transport, callers: .fixed(caller))
        try await withTaskCancellationHandler {
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask { try await server.serve() }
                group.addTask { [shutdown] in
                    await shutdown.wait()
                    server.beginGracefulShutdown()
                }
            }
        } onCancel: {
            beginShutdown()
        }
    }

    /// Takes no new calls, ends the streams and lets the short calls finish.
    package func beginShutdown() { shutdown.raise() }

    private func makeServer<Transport: ServerTransport>(
        _ transport: Transport, callers: CallerSource
    ) -> GRPCServer<Transport> {
        let start = ContinuousClock.now
        let chain = CallChain(
            callers: callers, authorizer: authorizer, limit: context.settings.rateLimit,
            elapsed: { ContinuousClock.now - start }, shutdown: shutdown, logger: logger, counters: counters)
        return GRPCServer(
            transport: transport,
            services: [
                VirtualMachineService(context), ShellService(context), ConsoleService(context), ImageService(context),
                RegistryService(context), KernelService(context),
                CatalogService(context), VolumeService(context), NetworkService(context), OperationService(context),
                MonitoringService(context), SystemService(context), StreamService(context),
                EventService(context), HealthService(health),
                ReflectionService(descriptors),
            ], interceptors: [chain])
    }

    private var transportConfiguration: HTTP2ServerTransport.Posix.Config {
        .defaults { config in
            config.rpc.maxRequestPayloadSize = Int(self.context.settings.largestMessage.bytes)
            config.http2.targetWindowSize = 8 << 20
            config.http2.maxFrameSize = 1 << 20
            config.connection.flushCoalescing = nil
            config.connection.keepalive = .init(
                time: .seconds(60), timeout: .seconds(20),
                clientBehavior: .init(minPingIntervalWithoutCalls: .seconds(10), allowWithoutCalls: true))
            config.channelDebuggingCallbacks.onAcceptTCPConnection = PeerCredentials.accepted
            config.channelDebuggingCallbacks.onAcceptHTTP2Stream = PeerCredentials.opened
        }
    }
}
