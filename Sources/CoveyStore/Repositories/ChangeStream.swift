package import CoveyModel

/// What a repository's watch says. Each is a hint to look at what is there now; several changes of one thing
/// may come as one.
package enum Change<Subject: Sendable>: Sendable {
    /// All that is there: the first answer, and again whenever changes were missed.
    case listed(Listing<Subject>)
    /// It is new or has changed.
    case updated(Subject)
    /// It is gone.
    case removed(Identifier<Subject>)
    /// It is there, and cannot be read.
    case setAside(Identifier<Subject>?, SetAside)
}

/// The changes of things of one kind; never ends by itself. One stream has one reader. Cancelling the reader throws
/// `CancellationError`.
package struct ChangeStream<Subject: Sendable>: AsyncSequence, Sendable {
    package typealias Element = Change<Subject>

    private let answer: @Sendable () async throws -> Element?

    init(_ answer: @escaping @Sendable () async throws -> Element?) { self.answer = answer }

    /// Reads the changes.
    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let answer: @Sendable () async throws -> Element?

        /// Waits for the next change.
        package func next() async throws -> Element? { try await answer() }
    }

    package func makeAsyncIterator() -> Iterator { Iterator(answer: answer) }
}
