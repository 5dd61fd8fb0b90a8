internal import ArgumentParser

/// The keys by which a program is left: `ctrl-p,ctrl-q`. Empty is none.
struct DetachKeys: ExpressibleByArgument, Hashable, Sendable {
    /// As docker has it.
    static let usual = DetachKeys(keys: [0x10, 0x11])
    /// As telnet has it.
    static let escape = DetachKeys(keys: [0x1D])

    /// The bytes that the terminal sends for them.
    let keys: [UInt8]

    private init(keys: [UInt8]) { self.keys = keys }

    init?(argument: String) {
        var keys: [UInt8] = []
        for word in argument.split(separator: ",", omittingEmptySubsequences: true) {
            let text = word.lowercased()
            if text.hasPrefix("ctrl-"), text.utf8.count == 6, let key = text.utf8.last {
                // Control takes the key's upper bits away. Source: ECMA-48, 5.2.
                let upper = key >= 0x61 && key <= 0x7A ? key - 0x20 : key
                guard (0x40...0x5F).contains(upper) else { return nil }
                keys.append(upper & 0x1F)
            } else if word.utf8.count == 1, let key = word.utf8.first, (0x21...0x7E).contains(key) {
                keys.append(key)
            } else {
                return nil
            }
        }
        self.keys = keys
    }

    /// `ctrl-p,ctrl-q`.
    var text: String {
        keys.map { key -> String in
            let shown = String(UnicodeScalar(key < 0x20 ? key | 0x40 : key)).lowercased()
            return key < 0x20 ? "ctrl-\(shown)" : shown
        }.joined(separator: ",")
    }

    var defaultValueDescription: String { text }
}

/// Finds the keys by which a program is left among what is typed.
struct DetachScanner: Sendable {
    private let keys: [UInt8]
    private var matched = 0

    init(_ keys: DetachKeys) { self.keys = keys.keys }

    /// What goes to the program, and whether the user leaves it. Keys that may be the beginning are held back until the
    /// next one.
    mutating func scan(_ bytes: [UInt8]) -> (passed: [UInt8], leaves: Bool) {
        guard !keys.isEmpty else { return (bytes, false) }
        var passed: [UInt8] = []
        for byte in bytes {
            while matched > 0, byte != keys[matched] {
                // What was held may end with the beginning of another try.
                let held = keys.prefix(matched)
                let again = (0..<matched).last { held.suffix($0).elementsEqual(keys.prefix($0)) } ?? 0
                passed += held.prefix(matched - again)
                matched = again
            }
            if byte == keys[matched] {
                matched += 1
                if matched == keys.count { return (passed, true) }
            } else {
                passed.append(byte)
            }
        }
        return (passed, false)
    }
}
