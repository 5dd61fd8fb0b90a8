/// Prints model values for every surface: the fields of the model, RFC 3339 times, bytes as integers.
package enum ModelPrinter {
    /// How values are printed.
    package enum Format: String, Sendable, CaseIterable { case json, yaml }

    private struct Items<Element: Encodable>: Encodable {
        var items: [Element]
    }

    /// One object, with a newline at the end.
    package static func object(_ value: some Encodable, _ format: Format) throws -> String {
        let printed = try PrintedValue(encoding: value)
        switch format {
        case .json: return printed.json + "\n"
        case .yaml: return printed.yaml
        }
    }

    /// A list as `{"items":[…]}`, with a newline at the end.
    package static func list(_ values: [some Encodable], _ format: Format) throws -> String {
        try object(Items(items: values), format)
    }
}
