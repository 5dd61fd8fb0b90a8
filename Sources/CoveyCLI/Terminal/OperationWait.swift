internal import CoveyClient
internal import CoveyModel
internal import Glibc

extension CoveyClient {
    /// Waits until an operation has succeeded and shows how far it is. Ctrl-C takes it back; a second one leaves it.
    ///
    /// Errors: the operation's own; ``ErrorCode/cancelled`` after Ctrl-C; ``ErrorCode/deadline`` after `limit`.
    @discardableResult
    func finishShowing(_ operation: Operation?, quiet: Bool = false, limit: Duration? = nil) async throws -> Operation?
    {
        guard let operation else { return nil }
        let progress = Progress(quiet: quiet)
        defer { progress.clear() }
        let caught = SignalStream([SIGINT, SIGTERM])
        defer { caught.stop() }
        let id = operation.metadata.id.description
        return try await withThrowingTaskGroup(of: Operation?.self) { group in
            group.addTask { try await finish(operation) { progress.show($0) } }
            group.addTask {
                var times = 0
                for await _ in caught.signals {
                    times += 1
                    if times > 1 { throw CoveyError(.cancelled, "interrupted; operation \(id) goes on") }
                    progress.clear()
                    do {
                        _ = try await cancelOperation(id)
                    } catch let error as CoveyError where error.code == .conflict {
                        throw CoveyError(.cancelled, "interrupted, when nothing could be taken back any more")
                    }
                }
                return nil
            }
            if let limit {
                group.addTask {
                    // The deadline itself: the operation's own end cancels it.
                    try await Task.sleep(for: limit)
                    throw CoveyError(
                        .deadline, "\(operation.spec.target) was not done within \(limit.text)",
                        remedy: "it goes on: covey operation watch \(id)")
                }
            }
            defer { group.cancelAll() }
            while let end = try await group.next() {
                guard let end else { continue }
                progress.succeeded(end)
                return end
            }
            return nil
        }
    }
}
