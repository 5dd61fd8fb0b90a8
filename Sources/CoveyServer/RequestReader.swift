internal import CoveyModel
internal import GRPCCore

/// A call's messages, the first of which is read by itself.
///
/// `@unchecked`: the service reads the first message and then hands the reader to one stream, whose contract is one
/// reader; so the iterator is never used twice at once.
final class RequestReader<Message: Sendable>: @unchecked Sendable {
    private var iterator: RPCAsyncSequence<Message, any Error>.AsyncIterator

    init(_ messages: RPCAsyncSequence<Message, any Error>) { iterator = messages.makeAsyncIterator() }

    /// The next message; nil at the end.
    func next() async throws -> Message? { try await iterator.next() }

    /// The next message. Errors: ``ErrorCode/invalid`` at the end.
    func first() async throws -> Message {
        guard let message = try await next() else { throw CoveyError(.invalid, "the call has no first message") }
        return message
    }
}
