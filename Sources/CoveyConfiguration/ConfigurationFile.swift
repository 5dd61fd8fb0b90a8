internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Yams

/// A configuration file's settings with their lines.
struct ConfigurationFile: Sendable {
    /// A value as it is written.
    struct Value: Sendable {
        let text: String
        let line: Int
    }

    let path: String
    let values: [SettingKey: Value]

    /// Reads a file. One that is not there is empty unless it is `required`.
    static func read(_ path: String, required: Bool) throws -> ConfigurationFile {
        let bytes: [UInt8]
        do {
            bytes = try readFile(path, limit: 1 << 20)
        } catch {
            guard error.isErrno(ENOENT) else { throw error.coveyError }
            guard !required else {
                throw CoveyError(
                    .notFound, "the configuration file \(path) does not exist", remedy: "give --config another one")
            }
            return ConfigurationFile(path: path, values: [:])
        }
        return try parse(String(decoding: bytes, as: UTF8.self), path: path)
    }

    /// Reads a text. Errors: ``ErrorCode/invalid`` with the line.
    static func parse(_ text: String, path: String) throws -> ConfigurationFile {
        let root: Yams.Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw CoveyError(
                .invalid, "\(path) is no YAML: \(error)", remedy: "see what may stand there: covey config show")
        }
        var values: [SettingKey: Value] = [:]
        if let root, !(root.isEmptyDocument) { try walk(root, [], path, &values) }
        return ConfigurationFile(path: path, values: values)
    }

    private static func walk(
        _ node: Yams.Node, _ parents: [String], _ path: String, _ values: inout [SettingKey: Value]
    ) throws {
        guard let mapping = node.mapping else {
            throw refusal(path, node, "\(parents.joined(separator: ".")) is no map of settings")
        }
        for (keyNode, value) in mapping {
            guard let name = keyNode.string else { throw refusal(path, keyNode, "a key is no text") }
            let full = parents + [name]
            let joined = full.joined(separator: ".")
            if let key = SettingKey(rawValue: joined) {
                guard let scalar = value.scalar else { throw refusal(path, value, "\(joined) is no single value") }
                guard values[key] == nil else { throw refusal(path, keyNode, "\(joined) is given twice") }
                values[key] = Value(text: value.isNull ? "" : scalar.string, line: keyNode.mark?.line ?? 0)
            } else if SettingKey.allCases.contains(where: { $0.rawValue.hasPrefix(joined + ".") }) {
                try walk(value, full, path, &values)
            } else {
                throw refusal(path, keyNode, "unknown key \(joined)")
            }
        }
    }

    private static func refusal(_ path: String, _ node: Yams.Node, _ why: String) -> CoveyError {
        let line = node.mark.map { ":\($0.line)" } ?? ""
        return CoveyError(
            .invalid, "\(path)\(line): \(why)",
            remedy: "the settings are \(SettingKey.allCases.map(\.rawValue).joined(separator: ", "))")
    }
}

extension Yams.Node {
    fileprivate var isNull: Bool {
        guard let scalar else { return false }
        return scalar.style == .plain && ["", "~", "null"].contains(scalar.string)
    }

    fileprivate var isEmptyDocument: Bool { isNull }
}
