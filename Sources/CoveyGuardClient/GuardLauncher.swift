package import CoveyModel
package import CoveySystem
internal import Glibc

/// Sees to it that a guard runs for a daemon root.
///
/// Where one answers (a unit of its own under systemd, or from an earlier daemon) nothing is started. One that is
/// started is nobody's child and leaves the daemon's control group, so that it outlives the daemon.
package struct GuardLauncher: Sendable {
    /// The program `covey-guard`, absolute.
    package var program: String
    /// The folder of its socket.
    package var runFolder: String
    /// The daemon root's instance.
    package var instance: InstanceID
    private let reactor: Reactor
    private let patience: Duration
    private let pool = BlockingPool("covey-guard-start")

    /// Makes a launcher; `patience` bounds the guard's start.
    package init(
        program: String, runFolder: String, instance: InstanceID, reactor: Reactor, patience: Duration = .seconds(10)
    ) {
        self.program = program
        self.runFolder = runFolder
        self.instance = instance
        self.reactor = reactor
        self.patience = patience
    }

    /// The guard's socket.
    package var socketPath: String { "\(runFolder)/guard.sock" }

    /// Starts a guard where none answers, replaces one of another version by ``program``, and returns a client that
    /// starts a new guard whenever the old one has died.
    /// Errors: ``ErrorCode/notFound`` where the program is missing, ``ErrorCode/deadline`` where it does not answer.
    package func connect() async throws -> GuardClient {
        let client = GuardClient(
            socketPath: socketPath, instance: instance, reactor: reactor,
            revive: { [self] in try await startIfNeeded() })
        do {
            let facts = try await client.facts()
            if facts.version != CoveyVersion.current { _ = try await client.replace(by: program) }
        } catch {
            await client.close()
            throw error
        }
        return client
    }

    /// Starts a guard where nobody listens, and returns once one does.
    package func startIfNeeded() async throws {
        if isListening { return }
        let stream = try await start()
        let said = try await withDeadline(patience, "the start of \(program)") {
            var said: [UInt8] = []
            while said.count < 4096 {
                let bytes = try await stream.read()
                said += bytes
                if bytes.isEmpty || said.ends(with: "ready\n".utf8) { break }
            }
            return String(decoding: said, as: UTF8.self)
        }
        // Another guard may have been faster than ours, which said so and ended.
        if said.hasSuffix("ready\n") || isListening { return }
        throw CoveyError(
            .unavailable, "the guard did not start: \(said.trimmed)",
            remedy: "start it by hand to see why: \(command.joined(separator: " "))")
    }

    private var command: [String] { [program, "--root-run", runFolder, "--instance", "\(instance)", "--detached"] }

    private var isListening: Bool {
        do throws(SystemError) {
            _ = try connectUnix(socketPath, .packets)
            return true
        } catch { return error.isErrno(EAGAIN) }
    }

    /// Starts the program; what it says comes out of the stream.
    private func start() async throws -> ByteStream {
        let command = command
        do {
            return try await pool.run { [reactor] in
                var pipe = try makePipe()
                let output = pipe.takeSecond()
                let stream = try ByteStream(pipe.takeFirst(), reactor: reactor)
                let plan = SpawnPlan(
                    arguments: command, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                    descriptors: [1: output.raw, 2: output.raw], rights: .inherited)
                _ = try plan.startDetached()
                return stream
            }
        } catch let error as SystemError where error.isErrno(ENOENT) {
            throw CoveyError(
                .notFound, "the guard's program \(program) does not exist",
                remedy: "install covey-guard beside covey", resource: ResourceReference("program", program))
        }
    }
}

extension String {
    fileprivate var trimmed: String {
        split(separator: "\n").map { String($0) }.joined(separator: "; ")
    }
}

extension Array where Element == UInt8 {
    fileprivate func ends(with suffix: some BidirectionalCollection<UInt8>) -> Bool {
        count >= suffix.count && self[(count - suffix.count)...].elementsEqual(suffix)
    }
}
