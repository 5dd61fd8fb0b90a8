package import CoveyModel
package import CoveyNetwork
internal import CoveySystem

/// The networks of one daemon instance on this host: bridges, taps, the firewall, published ports.
///
/// All work is done on threads that may block. Whatever is left by an end at any instant is mended by the next
/// ``apply(_:)``, and taken away by ``uninstall()``.
package actor HostNetwork: NetworkHost {
    private let carrier: HostCarrier
    private let pool = BlockingPool("covey-network")
    private let namespace: NetworkNamespace?
    private var pending: NetworkState?
    private var waiting: [CheckedContinuation<[NetworkProblem], any Error>] = []
    private var worker: Task<Void, Never>?
    private var taps: [InterfaceKey: String] = [:]
    private var poolProblem: String?

    /// The networks of an instance; nothing is touched before the first call.
    ///
    /// - Parameters:
    ///   - instance: Stands in the names of all links and tables.
    ///   - folder: Holds the host's settings as they were before they were changed.
    ///   - sparePool: How many taps are made ahead of need.
    ///   - namespace: Where it all is; nil is the daemon's own network namespace.
    package init(instance: InstanceID, folder: String, sparePool: Int = 8, namespace: NetworkNamespace? = nil) {
        carrier = HostCarrier(HostNames(instance: instance), folder: folder, spare: sparePool)
        self.namespace = namespace
    }

    deinit { worker?.cancel() }

    package func facts() async -> NetworkHostFacts {
        do {
            var facts = try await run { try $0.facts() }
            facts.problems += poolProblem.map { [$0] } ?? []
            return facts
        } catch {
            return NetworkHostFacts(available: false, problems: ["\(CoveyError.wrapping(error))"])
        }
    }

    package func apply(_ state: NetworkState) async throws -> [NetworkProblem] {
        try await withCheckedThrowingContinuation { continuation in
            pending = state
            waiting.append(continuation)
            startWorker()
        }
    }

    package func tap(_ key: InterfaceKey) -> String? { taps[key] }

    package func open(_ openings: [EgressOpening]) async throws { try await run { try $0.open(openings) } }

    package func figures() async throws -> [InterfaceKey: InterfaceFigures] { try await run { try $0.figures() } }

    package func holders(_ ports: [PublishedPort]) async throws -> [PortHolder] {
        try await run { try $0.holders(ports) }
    }

    package func uninstall() async throws {
        // The pool is not filled again behind it.
        while let worker {
            worker.cancel()
            await worker.value
        }
        try await run { try $0.uninstall() }
        taps = [:]
    }

    /// Waits until nothing is at work: no state is being carried and the pool is full.
    package func settle() async { while let worker { await worker.value } }

    private func startWorker() {
        if worker != nil { return }
        worker = Task { await work() }
    }

    private func work() async {
        while true {
            if let state = pending {
                let callers = waiting
                pending = nil
                waiting = []
                do {
                    let carried = try await run { try $0.apply(state) }
                    taps = carried.taps
                    for caller in callers { caller.resume(returning: carried.problems) }
                } catch {
                    for caller in callers { caller.resume(throwing: CoveyError.wrapping(error)) }
                }
                continue
            }
            let isFull = Task.isCancelled ? true : await fillPool()
            if isFull && pending == nil { break }
        }
        worker = nil
    }

    /// A pool that cannot be filled costs time only: the next need makes its own tap, and says why it cannot.
    private func fillPool() async -> Bool {
        do {
            let isFull = try await run { try $0.fillPool() }
            poolProblem = nil
            return isFull
        } catch {
            poolProblem = "no taps can be made ahead of need: \(CoveyError.wrapping(error))"
            return true
        }
    }

    private func run<T: Sendable>(_ body: @escaping @Sendable (HostCarrier) throws -> T) async throws -> T {
        let carrier = carrier
        guard let namespace else { return try await pool.run { try body(carrier) } }
        return try await namespace.run { try body(carrier) }
    }
}

extension HostNetwork {
    /// The bridge of a network, for whoever listens on it.
    package static func bridge(of network: NetworkID, instance: InstanceID) -> String {
        HostNames(instance: instance).bridge(network)
    }
}
