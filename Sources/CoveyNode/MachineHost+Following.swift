internal import CoveyModel
internal import CoveyStore
internal import Logging

extension MachineHost {
    /// Follows changes until it is cancelled. A store that does not answer is waited for, and a change that could not be
    /// dealt with meanwhile is dealt with again.
    ///
    /// - Throws: What `body` and the stream throw beside that.
    func follow<Subject: Sendable>(
        _ changes: ChangeStream<Subject>, isolation: isolated (any Actor)? = #isolation,
        _ body: (Change<Subject>) async throws -> Void
    ) async throws {
        let iterator = changes.makeAsyncIterator()
        while let change = try await overOutages({ try await iterator.next() }) {
            try await overOutages { try await body(change) }
        }
    }

    /// Does something that can be repeated until the store answers.
    @discardableResult
    func overOutages<T>(
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> T
    ) async throws -> T {
        var isTold = false
        while true {
            do { return try await body() } catch let error as CoveyError where error.isOutage {
                if !isTold { logger.warning("the store does not answer", metadata: ["error": "\(error)"]) }
                isTold = true
                try await clock.sleep(.seconds(1))
            }
        }
    }
}

extension CoveyError {
    /// Whether the store could not be asked, or nobody knows what became of a write.
    fileprivate var isOutage: Bool { code == .unavailable || code == .outcomeUnknown }
}
