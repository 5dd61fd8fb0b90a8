internal import Synchronization

/// A value of a type that is not thread-safe, used by one thread at a time.
final class Guarded<Value>: Sendable {
    private let value: Mutex<Value>

    init(_ value: sending Value) { self.value = Mutex(value) }

    func use<T: Sendable>(_ body: (inout Value) throws -> T) rethrows -> T {
        try value.withLock { value in try body(&value) }
    }
}
