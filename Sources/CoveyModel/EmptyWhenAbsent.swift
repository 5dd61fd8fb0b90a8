/// A list that records of older programs lack: what is absent is read as empty, and what is empty is left out.
@propertyWrapper
package struct EmptyWhenAbsent<Element: Codable & Hashable & Sendable>: Hashable, Codable, Sendable {
    /// The list.
    package var wrappedValue: [Element]

    /// Wraps a list.
    package init(wrappedValue: [Element]) { self.wrappedValue = wrappedValue }

    package init(from decoder: any Decoder) throws { wrappedValue = try [Element](from: decoder) }

    package func encode(to encoder: any Encoder) throws { try wrappedValue.encode(to: encoder) }
}

extension KeyedDecodingContainer {
    /// Chosen over the general method by synthesized conformances.
    package func decode<Element>(
        _ type: EmptyWhenAbsent<Element>.Type, forKey key: Key
    ) throws -> EmptyWhenAbsent<Element> {
        try decodeIfPresent(type, forKey: key) ?? EmptyWhenAbsent(wrappedValue: [])
    }
}

extension KeyedEncodingContainer {
    /// Chosen over the general method by synthesized conformances.
    package mutating func encode<Element>(_ value: EmptyWhenAbsent<Element>, forKey key: Key) throws {
        if !value.wrappedValue.isEmpty { try encode(value.wrappedValue, forKey: key) }
    }
}
