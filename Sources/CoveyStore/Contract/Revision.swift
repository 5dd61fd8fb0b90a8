/// A revision of the whole store: raised by one with each transaction that writes something.
package struct Revision: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number; 0 is before everything and, in a compare, "does not exist".
    package var number: Int64

    /// A revision from its number.
    package init(_ number: Int64) { self.number = number }

    /// Before everything.
    package static let zero = Revision(0)

    /// The next one.
    package var next: Revision { Revision(number + 1) }

    /// The number in digits.
    package var description: String { String(number) }

    package static func < (left: Revision, right: Revision) -> Bool { left.number < right.number }
}
