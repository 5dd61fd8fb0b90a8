/// The id of a lease.
package struct LeaseID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number, above 0.
    package let number: Int64

    /// An id from its number.
    package init(_ number: Int64) { self.number = number }

    /// The number in digits.
    package var description: String { String(number) }

    package static func < (left: LeaseID, right: LeaseID) -> Bool { left.number < right.number }
}

/// A lease: its keys are deleted when nobody keeps it alive. It never ends early, may end late, and proves nothing.
package struct Lease: Hashable, Sendable {
    /// The id to give with puts.
    package var id: LeaseID
    /// How long it lives after the grant and after each keep-alive, in whole seconds.
    package var seconds: Int

    /// Puts the parts together.
    package init(id: LeaseID, seconds: Int) {
        self.id = id
        self.seconds = seconds
    }
}
