internal import Dispatch
internal import Glibc

/// Signals as a stream; as long as it is read they do nothing else.
struct SignalStream: Sendable {
    /// The signals in the order of their arrival.
    let signals: AsyncStream<Int32>
    private let continuation: AsyncStream<Int32>.Continuation

    /// Takes over signals until ``stop()``.
    init(_ numbers: [Int32]) {
        (signals, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
        let sources = Sources(numbers.map { SignalStream.source($0, continuation) })
        sources.resume()
        continuation.onTermination = { @Sendable _ in sources.cancel() }
    }

    /// `@unchecked`: the list never changes, and Dispatch's sources may be used from any thread.
    private final class Sources: @unchecked Sendable {
        private let list: [any DispatchSourceSignal]
        init(_ list: [any DispatchSourceSignal]) { self.list = list }
        func resume() { for source in list { source.resume() } }
        func cancel() { for source in list { source.cancel() } }
    }

    /// Ends the stream and gives the signals back.
    func stop() { continuation.finish() }

    private static func source(
        _ number: Int32, _ continuation: AsyncStream<Int32>.Continuation
    ) -> any DispatchSourceSignal {
        _ = signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler { @Sendable in continuation.yield(number) }
        source.setCancelHandler { @Sendable in _ = signal(number, SIG_DFL) }
        return source
    }
}
