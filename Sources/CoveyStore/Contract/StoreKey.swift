/// A key of the store, or the beginning of keys: UTF-8 text, compared and ordered by its bytes.
package struct StoreKey: Sendable, CustomStringConvertible, ExpressibleByStringInterpolation {
    /// The text.
    package let text: String

    /// A key from its text.
    package init(_ text: String) {
        var text = text
        text.makeContiguousUTF8()
        self.text = text
    }

    /// A key from a literal.
    package init(stringLiteral text: String) { self.init(text) }

    /// The text.
    package var description: String { text }

    /// Its bytes.
    package var bytes: [UInt8] { Array(text.utf8) }

    /// How many bytes it has.
    package var count: Int { text.utf8.count }

    /// The key right after this one: where the next page of a range begins.
    package var successor: StoreKey { StoreKey(text + "\0") }

    /// Whether it begins with a prefix; every key begins with the empty one.
    package func hasPrefix(_ prefix: StoreKey) -> Bool {
        text.utf8.starts(with: prefix.text.utf8)
    }

    /// The first bytes after all keys that begin with this one. Nil where there is no end: for the empty prefix.
    package var prefixEnd: [UInt8]? {
        var bytes = bytes
        while let last = bytes.popLast() {
            if last < 0xFF { return bytes + [last + 1] }
        }
        return nil
    }
}

extension StoreKey: Hashable, Comparable {
    package static func == (left: StoreKey, right: StoreKey) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package static func < (left: StoreKey, right: StoreKey) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
