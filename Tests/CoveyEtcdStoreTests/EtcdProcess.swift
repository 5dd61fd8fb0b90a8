internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// Where a member runs that is not on loopback.
struct EtcdPlace: Sendable {
    /// Its address there.
    var host: String
    /// Where clients reach it.
    var endpoint: EtcdEndpoint
    /// What its program is started through.
    var entry: [String]
}

/// One real etcd member on loopback, with a folder and a log of its own.
final class EtcdProcess: Sendable {
    /// A process that runs.
    private final class Running: Sendable {
        let descriptor: ProcessDescriptor

        init(_ plan: SpawnPlan) throws {
            let started = try plan.start()
            descriptor = started.takeDescriptor()
        }
    }

    private let running = Mutex<Running?>(nil)
    /// Where clients reach it.
    let endpoint: EtcdEndpoint
    private let folder: String
    private let name: String
    private let arguments: [String]

    /// A member that does not run yet.
    ///
    /// - Parameters:
    ///   - folder: What it writes lies below it.
    ///   - cluster: Names and peer URLs of all members.
    ///   - tls: The folder of certificates; nil is without TLS.
    ///   - joins: Whether the cluster is there already.
    ///   - place: Where it runs; nil is loopback.
    init(
        _ name: String, folder: String, ports: (client: Int, peer: Int), cluster: String, tls: String?,
        arguments more: [String] = [], joins: Bool = false, place: EtcdPlace? = nil
    ) {
        self.name = name
        self.folder = folder
        let scheme = tls == nil ? "http" : "https"
        let host = place?.host ?? "127.0.0.1"
        endpoint = place?.endpoint ?? EtcdEndpoint(host: host, port: ports.client)
        let client = "\(scheme)://\(host):\(ports.client)"
        let peer = "\(scheme)://\(host):\(ports.peer)"
        var arguments = [
            "/usr/bin/etcd", "--name", name, "--data-dir", "\(folder)/\(name)", "--logger", "zap", "--log-level",
            "warn", "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, "--initial-cluster-state",
            joins ? "existing" : "new",
            "--initial-cluster-token", folder, "--pre-vote",
        ]
        if let tls {
            arguments += [
                "--cert-file", "\(tls)/member.pem", "--key-file", "\(tls)/member.key", "--trusted-ca-file",
                "\(tls)/ca.pem", "--client-cert-auth", "--peer-cert-file", "\(tls)/member.pem", "--peer-key-file",
                "\(tls)/member.key", "--peer-trusted-ca-file", "\(tls)/ca.pem", "--peer-client-cert-auth",
            ]
        }
        self.arguments = (place?.entry ?? []) + arguments + more
    }

    /// Starts it; again with what it has.
    func start() throws {
        let log = try openFile("\(folder)/\(name).log", [.writeOnly, .create, .append], mode: 0o644)
        let plan = SpawnPlan(
            arguments: arguments, environment: ["PATH=/usr/bin:/bin"], descriptors: [1: log.raw, 2: log.raw],
            rights: .inherited)
        let process = try Running(plan)
        running.withLock { $0 = process }
    }

    /// Ends it with SIGKILL and waits for its end; nothing where it does not run.
    func kill() async throws {
        guard let process = running.withLock({ $0 }) else { return }
        try process.descriptor.send(SIGKILL)
        while try process.descriptor.reap() == nil { try await Task.sleep(for: .milliseconds(5)) }
        running.withLock { $0 = nil }
    }

    /// How it has ended by itself; nil while it runs.
    func ending() throws -> ProcessDescriptor.Ending? {
        guard let process = running.withLock({ $0 }), let ending = try process.descriptor.reap() else { return nil }
        running.withLock { $0 = nil }
        return ending
    }

    /// Stops its threads.
    func pause() throws { try running.withLock { $0 }?.descriptor.send(SIGSTOP) }

    /// Lets its threads go on.
    func resume() throws { try running.withLock { $0 }?.descriptor.send(SIGCONT) }

    /// The end of its log.
    func log() throws -> String {
        let path = "\(folder)/\(name).log"
        return fileExists(path) ? String(try readText(path).suffix(1500)) : "no log"
    }
}
