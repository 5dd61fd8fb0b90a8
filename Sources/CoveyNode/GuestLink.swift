internal import CoveyGuestProtocol
internal import CoveyModel
internal import Synchronization

/// Keeps a session with a run's guest agent for as long as it lives, and carries what it says to the worker.
final class GuestLink: Sendable {
    private let connector: any GuestConnector
    private let socket: String
    private let clock: NodeClock
    private let latest = Mutex<(any GuestSession)?>(nil)

    init(connector: any GuestConnector, socket: String, clock: NodeClock) {
        self.connector = connector
        self.socket = socket
        self.clock = clock
    }

    /// The newest session, for the worker that was told of it.
    var session: (any GuestSession)? { latest.withLock { $0 } }

    /// Connects again and again until it is cancelled.
    func run(generation: Int64, mailbox: Mailbox<WorkerLetter>) async {
        let backoff = Backoff(first: .milliseconds(50), ceiling: .seconds(10))
        var failures = 0
        while !Task.isCancelled {
            do {
                let session = try await connector.connect(to: socket, deadline: .seconds(30))
                failures = 0
                latest.withLock { $0 = session }
                mailbox.post(.connected(generation))
                if await follow(session, generation: generation, mailbox: mailbox)?.code == .corrupt {
                    failures += 4
                }
                latest.withLock { $0 = nil }
                await session.close()
            } catch {
                failures += 1
            }
            do { try await clock.sleep(backoff.delay(attempt: failures)) } catch { return }
        }
    }

    /// Carries a session's events until its end, and keeps the guest's clock meanwhile. Returns why it ended.
    private func follow(
        _ session: any GuestSession, generation: Int64, mailbox: Mailbox<WorkerLetter>
    ) async -> CoveyError? {
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [clock] in
                // An emulated guest's clock runs by a measured rate: without help it is off by 100 ms within minutes.
                while true {
                    try await clock.sleep(.seconds(60))
                    try await session.setClock(clock.now())
                }
            }
            var end: CoveyError?
            for await event in session.events {
                mailbox.post(.guest(generation, event))
                if case .ended(let error) = event { end = error }
            }
            group.cancelAll()
            return end
        }
    }
}
