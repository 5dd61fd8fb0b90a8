/// A value ready to be printed: JSON's kinds, with the fields of objects in order.
package indirect enum PrintedValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case text(String)
    case list([PrintedValue])
    case object([Field])

    /// A field of an object.
    package struct Field: Hashable, Sendable {
        /// Its name.
        package var name: String
        /// Its value.
        package var value: PrintedValue

        /// Makes a field.
        package init(_ name: String, _ value: PrintedValue) {
            self.name = name
            self.value = value
        }
    }

    /// JSON over several lines, two spaces an indent, without a newline at the end.
    package var json: String {
        var text = ""
        writeJSON(&text, indent: 0)
        return text
    }

    /// JSON on one line.
    package var compactJSON: String {
        switch self {
        case .list(let items): "[" + items.map(\.compactJSON).joined(separator: ",") + "]"
        case .object(let fields):
            "{" + fields.map { "\(PrintedValue.quoted($0.name)):\($0.value.compactJSON)" }.joined(separator: ",") + "}"
        case .null, .bool, .integer, .number, .text: scalar
        }
    }

    /// YAML, with a newline at the end.
    package var yaml: String {
        var text = ""
        switch self {
        case .list(let items) where !items.isEmpty: writeYAML(&text, indent: 0)
        case .object(let fields) where !fields.isEmpty: writeYAML(&text, indent: 0)
        case .list, .object, .null, .bool, .integer, .number, .text: text = compactJSON + "\n"
        }
        return text
    }

    private var scalar: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .number(let value): value.isFinite ? String(value) : "null"
        case .text(let value): PrintedValue.quoted(value)
        case .list: "[]"
        case .object: "{}"
        }
    }

    private func writeJSON(_ text: inout String, indent: Int) {
        let inner = String(repeating: "  ", count: indent + 1)
        let outer = String(repeating: "  ", count: indent)
        switch self {
        case .list(let items) where !items.isEmpty:
            text += "[\n"
            for (index, item) in items.enumerated() {
                text += inner
                item.writeJSON(&text, indent: indent + 1)
                text += index + 1 < items.count ? ",\n" : "\n"
            }
            text += outer + "]"
        case .object(let fields) where !fields.isEmpty:
            text += "{\n"
            for (index, field) in fields.enumerated() {
                text += "\(inner)\(PrintedValue.quoted(field.name)): "
                field.value.writeJSON(&text, indent: indent + 1)
                text += index + 1 < fields.count ? ",\n" : "\n"
            }
            text += outer + "}"
        case .list, .object, .null, .bool, .integer, .number, .text: text += scalar
        }
    }

    private func writeYAML(_ text: inout String, indent: Int) {
        let margin = String(repeating: "  ", count: indent)
        switch self {
        case .object(let fields):
            for field in fields {
                text += "\(margin)\(PrintedValue.plainOrQuoted(field.name)):"
                field.value.writeYAMLBehindKey(&text, indent: indent)
            }
        case .list(let items):
            for item in items {
                var block = ""
                item.writeYAML(&block, indent: indent + 1)
                // The first line of the item stands behind its dash.
                text += "\(margin)- " + block.drop { $0 == " " }
            }
        case .null, .bool, .integer, .number, .text: text += "\(margin)\(yamlScalar)\n"
        }
    }

    private func writeYAMLBehindKey(_ text: inout String, indent: Int) {
        switch self {
        case .object(let fields) where !fields.isEmpty:
            text += "\n"
            writeYAML(&text, indent: indent + 1)
        case .list(let items) where !items.isEmpty:
            text += "\n"
            writeYAML(&text, indent: indent + 1)
        case .list, .object, .null, .bool, .integer, .number, .text: text += " \(yamlScalar)\n"
        }
    }

    private var yamlScalar: String {
        if case .text(let value) = self { return PrintedValue.plainOrQuoted(value) }
        return scalar
    }

    /// A plain scalar where no YAML reader can take it for anything but this text, else a quoted one.
    private static func plainOrQuoted(_ text: String) -> String {
        let reserved: Set<String> = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        let plain =
            text.first.map { $0.isASCII && ($0.isLetter || $0 == "/" || $0 == "_") } == true
            && text.utf8.allSatisfy { byte in
                (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
                    || "._-/+@".utf8.contains(byte)
            } && !reserved.contains(text.lowercased())
        return plain ? text : quoted(text)
    }

    /// A JSON string; also a double-quoted YAML scalar.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _
            where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
                || scalar.value == 0x2028 || scalar.value == 0x2029 || scalar.value == 0xFEFF:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            case _: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
