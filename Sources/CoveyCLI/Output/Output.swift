internal import CoveyAPI
internal import CoveyModel

/// How results are printed.
enum OutputFormat: String, CaseIterable, Sendable { case table, json, yaml, name }

/// Prints results in the chosen format.
struct Output: Sendable {
    /// The chosen format.
    let format: OutputFormat

    /// A list.
    func list<Item: Encodable>(_ items: [Item], _ columns: [Column<Item>], name: (Item) -> String) throws {
        Standard.output(try text(items, columns, name: name))
    }

    /// One object; as a table it is YAML.
    func object<Item: Encodable>(_ item: Item, name: String) throws {
        switch format {
        case .table, .yaml: Standard.output(try ModelPrinter.object(item, .yaml))
        case .json: Standard.output(try ModelPrinter.object(item, .json))
        case .name: Standard.output(name + "\n")
        }
    }

    /// What a mutation answered: as a table its name.
    func mutated<Item: Encodable>(_ item: Item, name: String) throws {
        switch format {
        case .table, .name: Standard.output(name + "\n")
        case .json: Standard.output(try ModelPrinter.object(item, .json))
        case .yaml: Standard.output(try ModelPrinter.object(item, .yaml))
        }
    }

    func text<Item: Encodable>(_ items: [Item], _ columns: [Column<Item>], name: (Item) -> String) throws -> String {
        switch format {
        case .json: return try ModelPrinter.list(items, .json)
        case .yaml: return try ModelPrinter.list(items, .yaml)
        case .name: return items.map { name($0) + "\n" }.joined()
        case .table:
            var table = Table(heads: columns.map(\.head))
            table.rows = items.map { item in columns.map { $0.cell(item) } }
            return table.text
        }
    }
}

extension Table {
    init(heads: [String]) { self.heads = heads }
}
