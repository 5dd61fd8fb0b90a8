extension PrintedValue {
    /// The printed form of a model value: fields in the order of their declaration, absent ones left out,
    /// free maps sorted by key.
    package init(encoding value: some Encodable) throws {
        let node = Node()
        try node.encode(value, path: [])
        self = node.value
    }
}

/// A value under construction; containers write to it and are read when everything is encoded.
private final class Node {
    enum Content {
        case value(PrintedValue)
        case list([Node])
        case object([(name: String, node: Node)])
    }

    var content = Content.value(.null)

    var value: PrintedValue {
        switch content {
        case .value(let value): value
        case .list(let nodes): .list(nodes.map(\.value))
        case .object(let fields): .object(fields.map { PrintedValue.Field($0.name, $0.node.value) })
        }
    }

    func field(_ name: String) -> Node {
        var fields: [(name: String, node: Node)] = []
        if case .object(let present) = content { fields = present }
        let node = Node()
        fields.append((name, node))
        content = .object(fields)
        return node
    }

    func element() -> Node {
        var nodes: [Node] = []
        if case .list(let present) = content { nodes = present }
        let node = Node()
        nodes.append(node)
        content = .list(nodes)
        return node
    }

    func encode(_ value: some Encodable, path: [any CodingKey]) throws {
        switch value {
        case let map as [String: String]:
            content = .value(
                .object(map.sorted { $0.key < $1.key }.map { PrintedValue.Field($0.key, .text($0.value)) }))
        case let text as String: content = .value(.text(text))
        case let bool as Bool: content = .value(.bool(bool))
        case let value as PrintedValue: content = .value(value)
        case _: try value.encode(to: TreeEncoder(node: self, codingPath: path))
        }
    }
}

extension PrintedValue: Encodable {
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(compactJSON)
    }
}

private struct TreeEncoder: Encoder {
    let node: Node
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .object = node.content {} else { node.content = .object([]) }
        return KeyedEncodingContainer(Keyed<Key>(node: node, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        node.content = .list([])
        return Unkeyed(node: node, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { Single(node: node, codingPath: codingPath) }
}

private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: Node
    let codingPath: [any CodingKey]

    func encodeNil(forKey key: Key) { node.field(key.stringValue).content = .value(.null) }

    func encode(_ value: some Encodable, forKey key: Key) throws {
        try node.field(key.stringValue).encode(value, path: codingPath + [key])
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy keyType: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        TreeEncoder(node: node.field(key.stringValue), codingPath: codingPath + [key]).container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        TreeEncoder(node: node.field(key.stringValue), codingPath: codingPath + [key]).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { TreeEncoder(node: node.field("super"), codingPath: codingPath) }

    func superEncoder(forKey key: Key) -> any Encoder {
        TreeEncoder(node: node.field(key.stringValue), codingPath: codingPath + [key])
    }
}

private struct Unkeyed: UnkeyedEncodingContainer {
    let node: Node
    let codingPath: [any CodingKey]
    var count: Int { if case .list(let nodes) = node.content { nodes.count } else { 0 } }

    func encodeNil() { node.element().content = .value(.null) }

    func encode(_ value: some Encodable) throws { try node.element().encode(value, path: codingPath) }

    func nestedContainer<Nested: CodingKey>(keyedBy keyType: Nested.Type) -> KeyedEncodingContainer<Nested> {
        TreeEncoder(node: node.element(), codingPath: codingPath).container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        TreeEncoder(node: node.element(), codingPath: codingPath).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { TreeEncoder(node: node.element(), codingPath: codingPath) }
}

private struct Single: SingleValueEncodingContainer {
    let node: Node
    let codingPath: [any CodingKey]

    func encodeNil() { node.content = .value(.null) }
    func encode(_ value: Bool) { node.content = .value(.bool(value)) }
    func encode(_ value: String) { node.content = .value(.text(value)) }
    func encode(_ value: Double) { node.content = .value(.number(value)) }
    func encode(_ value: Float) { node.content = .value(.number(Double(value))) }
    func encode(_ value: Int) { node.content = .value(.integer(Int64(value))) }
    func encode(_ value: Int8) { node.content = .value(.integer(Int64(value))) }
    func encode(_ value: Int16) { node.content = .value(.integer(Int64(value))) }
    func encode(_ value: Int32) { node.content = .value(.integer(Int64(value))) }
    func encode(_ value: Int64) { node.content = .value(.integer(value)) }
    func encode(_ value: UInt) throws { try unsigned(UInt64(value)) }
    func encode(_ value: UInt8) { node.content = .value(.integer(Int64(value))) }
    func encode(_ value: UInt16) { node.content = .value(.integer(Int64(value))) }
    func encode(_ value: UInt32) { node.content = .value(.integer(Int64(value))) }
    func encode(_ value: UInt64) throws { try unsigned(value) }
    func encode(_ value: some Encodable) throws { try node.encode(value, path: codingPath) }

    private func unsigned(_ value: UInt64) throws {
        guard let number = Int64(exactly: value) else {
            throw EncodingError.invalidValue(
                value, EncodingError.Context(codingPath: codingPath, debugDescription: "the number is too large"))
        }
        node.content = .value(.integer(number))
    }
}
