import CoveyModel
import CoveySystem
import Glibc
import Synchronization

/// A real etcd member on loopback.
final class TestEtcd: Sendable {
    let client: Int
    private let arguments: [String]
    private let folder: String
    private let child = Mutex<Child?>(nil)

    /// A member that keeps its data in a folder and does not run yet.
    ///
    /// - Parameter enter: The words that begin a command in a network of the test's own.
    init(_ folder: String, enter: [String] = []) throws {
        let (client, peer) = (try freePort(), try freePort())
        self.client = client
        self.folder = folder
        arguments =
            enter + [
                "/usr/bin/etcd", "--name", "m", "--data-dir", "\(folder)/etcd", "--log-level", "warn", "--logger",
                "zap",
                "--listen-client-urls", "http://127.0.0.1:\(client)", "--advertise-client-urls",
                "http://127.0.0.1:\(client)", "--listen-peer-urls", "http://127.0.0.1:\(peer)",
                "--initial-advertise-peer-urls", "http://127.0.0.1:\(peer)", "--initial-cluster",
                "m=http://127.0.0.1:\(peer)",
            ]
    }

    /// The address of a store on it.
    func address(_ prefix: String = "test") -> String { "etcd://127.0.0.1:\(client)/\(prefix)" }

    /// Puts other bytes, in hex, in place of a value, and gives the old ones.
    func exchange(_ key: String, with value: String) async throws -> String {
        let script = """
            import subprocess, sys
            endpoint, key, value = sys.argv[1:]
            def control(*words, **more):
                command = ["etcdctl", "--endpoints", endpoint] + list(words)
                words = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}
                return subprocess.run(command, check=True, capture_output=True, env=words, **more).stdout
            old = control("get", "--print-value-only", key)[:-1]
            assert old
            control("put", key, input=bytes.fromhex(value))
            print(old.hex())
            """
        let outcome = try await runProgram(
            "python3", ["-c", script, "127.0.0.1:\(client)", "test/\(key)", value])
        guard outcome.code == 0 else { throw CoveyError(.failure, "the record \(key) was not exchanged: \(outcome)") }
        return outcome.lines.first ?? ""
    }

    /// Starts it, with what it has.
    func start() throws {
        let started = try Child(arguments, log: "\(folder)/etcd.log")
        child.withLock { $0 = started }
    }

    /// Ends it with SIGKILL; nothing where it does not run.
    func end() async throws {
        guard let running = child.withLock({ $0.take() }) else { return }
        if try running.ending() != nil { return }
        try running.send(SIGKILL)
        _ = try await running.end(within: .seconds(30))
    }
}

/// A port of loopback that nobody listens on.
func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
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
    return Int(UInt16(bigEndian: address.sin_port))
}
