package import CoveyModel

/// What the copy program says on its standard error: lines `note TEXT` and `failure CODE TEXT[␟REMEDY]`.
package struct CopyReport {
    private static let mostNotes = 100
    private static let separator: Character = "\u{1F}"

    private var notes = 0

    /// A report that says nothing yet.
    package init() {}

    /// A note's line; nil after a hundred.
    package mutating func note(_ text: String) -> [UInt8]? {
        notes += 1
        guard notes <= CopyReport.mostNotes else { return nil }
        return Array("note \(notes == CopyReport.mostNotes ? "and more" : CopyReport.line(text))\n".utf8)
    }

    /// The failure's line.
    package func failure(_ error: CoveyError) -> [UInt8] {
        let remedy = error.remedy.map { "\(CopyReport.separator)\($0)" } ?? ""
        return Array("failure \(error.code.rawValue) \(CopyReport.line(error.message))\(remedy)\n".utf8)
    }

    /// What a report says, from a guest that is not trusted.
    ///
    /// - Parameters:
    ///   - bytes: The report, at most some KiB of it.
    ///   - place: The machine, for the message.
    package static func read(_ bytes: [UInt8], in place: String) -> (notes: [String], failure: CoveyError?) {
        var notes: [String] = []
        var failure: CoveyError?
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let text = String(decoding: line.prefix(8192), as: UTF8.self)
            if text.hasPrefix("note ") {
                notes.append(displayed(Array(text.dropFirst(5).utf8)))
            } else if text.hasPrefix("failure ") {
                let parts = text.dropFirst(8).split(separator: " ", maxSplits: 1)
                let halves = (parts.count > 1 ? parts[1] : "it failed").split(
                    separator: separator, maxSplits: 1, omittingEmptySubsequences: false)
                failure = CoveyError(
                    parts.first.flatMap { ErrorCode(rawValue: String($0)) } ?? .failure,
                    "\(displayed(Array(halves[0].utf8))) in \(place)",
                    remedy: halves.count > 1 ? displayed(Array(halves[1].utf8)) : nil)
            }
        }
        return (notes, failure)
    }

    private static func line(_ text: String) -> String {
        String(text.map { $0.isNewline || $0 == separator ? "\u{FFFD}" : $0 })
    }
}
