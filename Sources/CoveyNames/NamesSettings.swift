internal import CoveyModel
package import CoveyNetwork
package import CoveySystem

/// What the names service is told once.
package struct NamesSettings: Sendable {
    /// The host's own listener, where nothing else listens as a rule: 127.0.0.53 and 127.0.0.54 are systemd-resolved's, port 5353
    /// is multicast DNS. An instance beside another one takes another port. Nil is none.
    package var host: SocketEndpoint?
    /// The port at the gateways.
    package var port: UInt16
    /// Who is asked for all other names.
    package var upstreams: UpstreamSource
    /// The link of a network's machines, to which its listeners are bound; nil binds them to their address alone.
    package var link: @Sendable (HostedNetwork) -> String?
    /// How much is done at once and kept.
    package var limits: NamesLimits
    /// How long others are waited for.
    package var patience: Forwarder.Patience
    /// How often addresses that could not be listened on, links and the servers' file are looked at.
    package var interval: Duration

    /// 127.0.0.153:5354.
    package static let standardHost = SocketEndpoint(.v4(IPv4Address(bits: 0x7F00_0099)), port: 5354)

    /// The usual settings.
    package init(
        host: SocketEndpoint? = standardHost, port: UInt16 = 53, upstreams: UpstreamSource = .file("/etc/resolv.conf"),
        limits: NamesLimits = NamesLimits(), patience: Forwarder.Patience = Forwarder.Patience(),
        interval: Duration = .seconds(1), link: @escaping @Sendable (HostedNetwork) -> String? = { _ in nil }
    ) {
        self.host = host
        self.port = port
        self.upstreams = upstreams
        self.limits = limits
        self.patience = patience
        self.interval = interval
        self.link = link
    }
}

/// Opens sockets. Tests open theirs in namespaces, or refuse.
package struct SocketOpener: Sendable {
    /// Binds a UDP socket.
    package var bind: @Sendable (SocketEndpoint, BindOptions) throws(SystemError) -> FileDescriptor
    /// Listens by TCP.
    package var listen: @Sendable (SocketEndpoint, BindOptions) throws(SystemError) -> FileDescriptor
    /// The number of a link; nil where there is none of the name.
    package var link: @Sendable (String) -> UInt32?

    /// Opens in this process's namespace.
    package init(
        bind: @escaping @Sendable (SocketEndpoint, BindOptions) throws(SystemError) -> FileDescriptor = {
            (endpoint, options) throws(SystemError) in try bindUDP(endpoint, options)
        },
        listen: @escaping @Sendable (SocketEndpoint, BindOptions) throws(SystemError) -> FileDescriptor = {
            (endpoint, options) throws(SystemError) in try listenTCP(endpoint, options)
        },
        link: @escaping @Sendable (String) -> UInt32? = { linkIndex($0) }
    ) {
        self.bind = bind
        self.listen = listen
        self.link = link
    }
}
