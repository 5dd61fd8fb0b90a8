/// The newest lines of a log, as it is read from its beginning.
package struct LogTail: Sendable {
    private let lines: Int
    private var chunks: [LogChunk] = []
    private var ends: [Int] = []
    private var kept = 0

    /// Keeps the newest `lines`; one that has not ended yet counts.
    package init(lines: Int) { self.lines = lines }

    /// Takes the next piece.
    package mutating func append(_ chunk: LogChunk) {
        guard lines > 0, !chunk.bytes.isEmpty else { return }
        chunks.append(chunk)
        let newlines = chunk.bytes.count { $0 == 10 }
        ends.append(newlines)
        kept += newlines
        while chunks.count > 1, kept - ends[0] > lines {
            kept -= ends.removeFirst()
            chunks.removeFirst()
        }
    }

    /// The pieces that hold the newest lines.
    package var result: [LogChunk] {
        guard let last = chunks.last else { return [] }
        let whole = last.bytes.last == 10
        var excess = kept - lines + (whole ? 0 : 1)
        var result = chunks
        while excess > 0, let first = result.first {
            if let end = first.bytes.firstIndex(of: 10) {
                result[0].bytes = Array(first.bytes[(end + 1)...])
                excess -= 1
                if !result[0].bytes.isEmpty { continue }
            }
            result.removeFirst()
        }
        return result
    }
}
