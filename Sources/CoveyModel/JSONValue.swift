/// Any JSON value: fields that this program does not know, and protocols of others.
package enum JSONValue: Hashable, Sendable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A whole number.
    case integer(Int64)
    /// A whole number beyond `Int64`.
    case large(UInt64)
    /// Any other number.
    case number(Double)
    /// A string.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object.
    case object([String: JSONValue])
}

extension JSONValue: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([String: JSONValue].self) {
            self = .object(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(UInt64.self) {
            self = .large(value)
        } else {
            self = .number(try container.decode(Double.self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .large(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let values): try container.encode(values)
        case .object(let values): try container.encode(values)
        }
    }
}

extension JSONValue {
    /// This value, with those fields of what was stored that its writer did not know.
    ///
    /// - Parameters:
    ///   - stored: What stands in the store.
    ///   - known: What this program reads of `stored`, written again: a field that `stored` has and `known` lacks
    ///     is unknown here.
    package func keepingUnknown(of stored: JSONValue, known: JSONValue) -> JSONValue {
        if self == known { return stored }
        switch (self, stored, known) {
        case (.object(var new), .object(let stored), .object(let known)):
            for (name, value) in stored {
                if let before = known[name] {
                    if let after = new[name] { new[name] = after.keepingUnknown(of: value, known: before) }
                } else if new[name] == nil {
                    new[name] = value
                }
            }
            return .object(new)
        case (.array(let new), .array(let stored), .array(let known)) where stored.count == known.count:
            // An element is recognised by all that this program knows of it; a changed one is a new one.
            return .array(
                new.map { element in known.firstIndex(of: element).map { stored[$0] } ?? element })
        case _: return self
        }
    }
}

extension JSONValue {
    /// A member of an object; nil for anything else.
    package subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members[key]
    }

    /// The text of a string; nil for anything else.
    package var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The elements of an array; nil for anything else.
    package var elements: [JSONValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    /// The value of an integer; nil for anything else.
    package var whole: Int64? {
        guard case .integer(let value) = self else { return nil }
        return value
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
    package init(stringLiteral value: String) { self = .string(value) }

    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }
}
