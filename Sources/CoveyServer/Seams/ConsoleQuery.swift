/// How a caller comes to a machine's console.
package struct ConsoleQuery: Hashable, Sendable {
    /// Whether it does not ask to write.
    package var readOnly: Bool
    /// Whether it takes writing from who has it.
    package var takes: Bool
    /// At most so many of the newest bytes of what is kept.
    package var recent: Int64
    /// Who it is, for others that want to write.
    package var who: String

    /// Makes a query.
    package init(readOnly: Bool, takes: Bool, recent: Int64, who: String) {
        self.readOnly = readOnly
        self.takes = takes
        self.recent = recent
        self.who = who
    }
}

/// What a caller writes to a console. One stream has one reader.
package struct ConsoleInputs: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    private let read: @Sendable () async throws -> [UInt8]?

    /// A stream from a function that waits for the next bytes; nil is the end of the caller's side.
    package init(_ read: @escaping @Sendable () async throws -> [UInt8]?) { self.read = read }

    /// Reads the inputs.
    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let read: @Sendable () async throws -> [UInt8]?

        /// Waits for the next bytes.
        package func next() async throws -> [UInt8]? { try await read() }
    }

    package func makeAsyncIterator() -> Iterator { Iterator(read: read) }
}
