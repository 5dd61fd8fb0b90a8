/// Columns of text with two spaces between them.
struct Table {
    /// The heads.
    let heads: [String]
    /// The cells, as many as heads in each row.
    var rows: [[String]] = []

    init(_ heads: String...) { self.heads = heads }

    /// The text; the last column is not padded.
    var text: String {
        let all = [heads] + rows
        let widths = heads.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}

/// One column of a table: its head and how a cell is made.
struct Column<Item> {
    let head: String
    let cell: (Item) -> String

    init(_ head: String, _ cell: @escaping (Item) -> String) {
        self.head = head
        self.cell = cell
    }
}
