internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Glibc
internal import Subprocess

/// Real etcd members on loopback, for one test.
struct EtcdCluster: Sendable {
    /// The members.
    let members: [EtcdProcess]
    /// Below which all of it lies.
    let folder: String
    /// How clients are secured; nil without TLS.
    let tls: EtcdTLS?

    /// The store on all members.
    func address(_ prefix: String = "covey") -> EtcdAddress {
        EtcdAddress(endpoints: members.map(\.endpoint), prefix: prefix, tls: tls)
    }

    /// Opens a store as soon as the members have a leader.
    ///
    /// - Parameter first: The member that is asked first.
    func open(
        _ prefix: String = "covey", times: EtcdTimes = EtcdTimes(), first: Int = 0
    ) async throws -> EtcdStore {
        var address = address(prefix)
        address.endpoints.swapAt(0, first)
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            do { return try await EtcdStore.open(address, times: times) } catch let error as CoveyError
                where error.retryable && start.duration(to: clock.now) < .seconds(60)
            {
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// Asks etcd's own tool.
    @discardableResult
    func control(_ arguments: String...) async throws -> String {
        let endpoints = members.map { "\(tls == nil ? "http" : "https")://\($0.endpoint)" }.joined(separator: ",")
        var options = ["--endpoints", endpoints, "--command-timeout", "30s"]
        if let authorities = tls?.authorities, let certificate = tls?.certificate, let key = tls?.key {
            options += ["--cacert", authorities, "--cert", certificate, "--key", key]
        }
        return try await tool("etcdctl", options + arguments)
    }
}

/// Lends a cluster, and ends and removes it in any case.
///
/// - Parameters:
///   - count: How many members.
///   - secured: Whether clients and members have TLS, and clients need a certificate.
///   - arguments: More for each member.
///   - network: Where the members run; nil is loopback.
///   - prepare: Makes the certificates in a folder; nil makes some that last for days.
func withEtcd<T: Sendable>(
    _ count: Int = 1, secured: Bool = false, arguments: [String] = [], network: EtcdNetwork? = nil,
    prepare: ((String) throws -> Void)? = nil,
    _ body: @Sendable (EtcdCluster) async throws -> T
) async throws -> T {
    let folder = "/tmp/cvy-etcd-t-\(UInt64.random(in: .min ... .max))"
    try makeFolder(folder)
    let cluster: EtcdCluster
    do {
        var tls: EtcdTLS?
        if secured {
            if let prepare { try prepare(folder) } else { try await makeCertificates(folder) }
            tls = EtcdTLS(
                authorities: "\(folder)/ca.pem", certificate: "\(folder)/client.pem", key: "\(folder)/client.key")
        }
        let ports = try network == nil ? freePorts(2 * count) : []
        let scheme = secured ? "https" : "http"
        func host(_ index: Int) -> String { network == nil ? "127.0.0.1" : EtcdNetwork.address(index) }
        func peer(_ index: Int) -> Int { network == nil ? ports[count + index] : EtcdNetwork.peerPort }
        let list = (0..<count).map { "m\($0)=\(scheme)://\(host($0)):\(peer($0))" }.joined(separator: ",")
        let members = (0..<count).map { index in
            EtcdProcess(
                "m\(index)", folder: folder,
                ports: (network == nil ? ports[index] : EtcdNetwork.clientPort, peer(index)), cluster: list,
                tls: secured ? folder : nil, arguments: arguments, place: network?.place(index))
        }
        cluster = EtcdCluster(members: members, folder: folder, tls: tls)
    } catch {
        try removeTree(folder)
        throw error
    }
    let outcome: Result<T, any Error>
    do {
        for member in cluster.members { try member.start() }
        outcome = .success(try await body(cluster))
    } catch {
        for member in cluster.members { print("etcd \(member.endpoint): \(try member.log())") }
        outcome = .failure(error)
    }
    for member in cluster.members { try await member.kill() }
    try removeTree(folder)
    return try outcome.get()
}

/// Ports of loopback that nobody listens on.
func freePorts(_ count: Int) throws -> [Int] {
    var sockets: [Int32] = []
    defer { for socket in sockets { close(socket) } }
    var ports: [Int] = []
    for _ in 0..<count {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        sockets.append(descriptor)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, size) == 0 && getsockname(descriptor, pointer, &size) == 0
            }
        }
        guard bound else { throw SystemError("bind", "a port of loopback") }
        ports.append(Int(UInt16(bigEndian: address.sin_port)))
    }
    return ports
}

/// Runs a tool, and gives what it printed.
func tool(_ name: String, _ arguments: [String]) async throws -> String {
    let outcome = try await run(
        .name(name), arguments: Arguments(arguments), environment: .inherit.updating(["ETCDCTL_API": "3"]),
        output: .string(limit: 1 << 20), error: .string(limit: 1 << 20))
    guard outcome.terminationStatus.isSuccess else {
        throw CoveyError(.failure, "\(name) \(arguments): \(outcome.standardError)")
    }
    return outcome.standardOutput
}

/// An authority, a certificate of members for 127.0.0.1, and one of clients; and another authority that is not ours.
private func makeCertificates(_ folder: String) async throws {
    let script = """
        set -e
        cd \(folder)
        addresses=IP:127.0.0.1
        for n in 1 2 3 4 5 254; do addresses=$addresses,IP:\(EtcdNetwork.prefix)$n; done
        authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -keyout $1.key -out $1.pem -subj /CN=$1 -addext basicConstraints=critical,CA:TRUE; }
        sign() {
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj /CN=$1
            printf 'subjectAltName=%s,DNS:localhost\\nextendedKeyUsage=serverAuth,clientAuth\\n' $addresses > $1.ext
            openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2 -extfile $1.ext -out $1.pem
        }
        authority ca; authority other; sign member ca; sign client ca; sign stranger other
        """
    _ = try await tool("sh", ["-c", script])
}
