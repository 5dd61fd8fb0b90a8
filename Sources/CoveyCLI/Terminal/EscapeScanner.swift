/// Splits what a program writes to a terminal into text and escape sequences, over the borders of its pieces.
/// Source: ECMA-48, 5.4; XTerm Control Sequences.
struct EscapeScanner: Sendable {
    /// A part of the output.
    enum Part: Hashable, Sendable {
        /// Characters and single control bytes.
        case text([UInt8])
        /// `ESC [`, then parameters and intermediates, then a final byte.
        case control([UInt8], final: UInt8)
        /// `ESC ]`, `ESC P`, `ESC _`, `ESC ^` or `ESC X`, up to its end.
        case string([UInt8])
        /// `ESC` and what follows it, otherwise.
        case other([UInt8])
    }

    private enum State { case text, escape, control, string, stringEscape }

    private static let longest = 4096

    private var state = State.text
    private var pending: [UInt8] = []

    /// The parts that are whole now.
    mutating func scan(_ bytes: [UInt8]) -> [Part] {
        var parts: [Part] = []
        var text: [UInt8] = []
        func flush() {
            if !text.isEmpty { parts.append(.text(text)) }
            text = []
        }
        for byte in bytes {
            if state == .text {
                guard byte == 0x1B else {
                    text.append(byte)
                    continue
                }
                flush()
                pending = [byte]
                state = .escape
                continue
            }
            pending.append(byte)
            if let part = step(byte) {
                parts.append(part)
                pending = []
                state = .text
            }
        }
        flush()
        return parts
    }

    /// What is not whole: it belongs to what comes.
    mutating func rest() -> [UInt8] {
        defer { self = EscapeScanner() }
        return pending
    }

    private mutating func step(_ byte: UInt8) -> Part? {
        if pending.count > EscapeScanner.longest { return .other(pending) }
        switch state {
        case .text: return nil
        case .escape:
            switch byte {
            case UInt8(ascii: "["): state = .control
            case UInt8(ascii: "]"), UInt8(ascii: "P"), UInt8(ascii: "_"), UInt8(ascii: "^"), UInt8(ascii: "X"):
                state = .string
            case 0x20...0x2F: break
            case _: return .other(pending)
            }
        case .control: if (0x40...0x7E).contains(byte) { return .control(pending, final: byte) }
        case .string:
            if byte == 0x07 { return .string(pending) }
            if byte == 0x1B { state = .stringEscape }
        case .stringEscape:
            if byte == UInt8(ascii: "\\") { return .string(pending) }
            state = byte == 0x1B ? .stringEscape : .string
        }
        return nil
    }
}

/// Leaves out of a recording what a terminal would answer: an answer now would be input that nobody typed.
struct ReplayFilter: Sendable {
    private var scanner = EscapeScanner()

    /// What is shown.
    mutating func pass(_ bytes: [UInt8]) -> [UInt8] {
        scanner.scan(bytes).flatMap { part -> [UInt8] in
            switch part {
            case .text(let text): return text
            case .control(let sequence, let final):
                let asks = [UInt8(ascii: "c"), UInt8(ascii: "n"), UInt8(ascii: "x"), UInt8(ascii: "t")].contains(final)
                let asksMode = final == UInt8(ascii: "p") && sequence.contains(UInt8(ascii: "$"))
                let asksVersion = final == UInt8(ascii: "q") && sequence.contains(UInt8(ascii: ">"))
                let asksKeys = final == UInt8(ascii: "u") && sequence.contains(UInt8(ascii: "?"))
                return asks || asksMode || asksVersion || asksKeys ? [] : sequence
            case .string(let sequence):
                let isDevice = sequence.count > 1 && sequence[1] == UInt8(ascii: "P")
                return isDevice || sequence.contains(UInt8(ascii: "?")) ? [] : sequence
            case .other(let sequence): return sequence == [0x1B, UInt8(ascii: "Z")] ? [] : sequence
            }
        }
    }

    /// The beginning of a sequence that has not ended.
    mutating func rest() -> [UInt8] { scanner.rest() }
}

/// Remembers what a program has changed about the terminal, so that it can be taken back when the program is left.
struct TerminalChanges: Sendable {
    /// Cursor keys, mouse, focus, alternate screens, bracketed paste. Source: XTerm Control Sequences, DECSET.
    private static let watched: [Int] = [
        1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1048, 1049, 2004,
    ]

    private var scanner = EscapeScanner()
    private var set: Set<Int> = []
    private var hidesCursor = false
    private var hasKeypad = false
    private var isColoured = false
    private var hasRegion = false

    /// Takes in what is written.
    mutating func note(_ bytes: [UInt8]) {
        for part in scanner.scan(bytes) {
            switch part {
            case .text, .string: break
            case .other(let sequence):
                if sequence.last == UInt8(ascii: "=") { hasKeypad = true }
                if sequence.last == UInt8(ascii: ">") { hasKeypad = false }
                if sequence.last == UInt8(ascii: "c") { self = TerminalChanges() }
            case .control(let sequence, let final):
                let body = sequence.dropFirst(2).dropLast()
                switch final {
                case UInt8(ascii: "h"), UInt8(ascii: "l"): noteModes(body, isSet: final == UInt8(ascii: "h"))
                case UInt8(ascii: "m"): isColoured = !(body.isEmpty || body.elementsEqual("0".utf8))
                case UInt8(ascii: "r"): hasRegion = !body.isEmpty
                case _: break
                }
            }
        }
    }

    private mutating func noteModes(_ body: ArraySlice<UInt8>, isSet: Bool) {
        guard body.first == UInt8(ascii: "?") else { return }
        for number in body.dropFirst().split(separator: UInt8(ascii: ";")) {
            guard let mode = Int(String(decoding: number, as: UTF8.self)) else { continue }
            if mode == 25 { hidesCursor = !isSet }
            guard TerminalChanges.watched.contains(mode) else { continue }
            if isSet { set.insert(mode) } else { set.remove(mode) }
        }
    }

    /// What takes all of it back.
    var undoing: [UInt8] {
        var text = ""
        if hasRegion { text += "\u{1B}7\u{1B}[r\u{1B}8" }
        if isColoured { text += "\u{1B}[0m" }
        for mode in set.sorted(by: >) { text += "\u{1B}[?\(mode)l" }
        if hasKeypad { text += "\u{1B}>" }
        if hidesCursor { text += "\u{1B}[?25h" }
        return Array(text.utf8)
    }
}
