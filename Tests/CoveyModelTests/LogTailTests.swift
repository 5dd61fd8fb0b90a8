import CoveyModel
import Testing

@Suite struct LogTailTests {
    @Test("the newest lines are kept, whichever way the text is cut, and a line that has not ended counts")
    func tail() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 2, "b\nc"), ("a\n", 5, "a\n"), ("a\nb\n", 0, ""), ("", 3, ""),
            ("\n\n\n", 2, "\n\n"), ("one", 1, "one"),
        ] {
            for size in 1...3 {
                var tail = LogTail(lines: lines)
                var rest = Array(text.utf8)[...]
                while !rest.isEmpty {
                    tail.append(LogChunk(.stdout, Array(rest.prefix(size))))
                    rest = rest.dropFirst(size)
                }
                let kept = String(decoding: tail.result.flatMap(\.bytes), as: UTF8.self)
                #expect(kept == expected, "\(text.debugDescription), \(lines) lines, pieces of \(size)")
            }
        }
    }
}
