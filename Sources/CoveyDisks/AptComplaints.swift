/// What apt and mmdebstrap say went wrong: their `E:` lines, out of a log of hundreds.
struct AptComplaints {
    private static let most = 4
    private static let echoes = ["run_chroot", "setup failed", "mmdebstrap failed", "apt-get "]

    private(set) var lines: [String] = []

    /// Hears a line of the log.
    mutating func hear(_ line: String) {
        for prefix in ["E: ", "mmdebstrap: E: "] where line.hasPrefix(prefix) {
            let text = line.dropFirst(prefix.count).prefix(300)
            // mmdebstrap's own last words only say that apt failed.
            let isEcho = text.hasSuffix("failed") || AptComplaints.echoes.contains { text.hasPrefix($0) }
            if !lines.contains(String(text)) && lines.count < AptComplaints.most && (!isEcho || lines.isEmpty) {
                lines.append(String(text))
            }
        }
    }

    /// The complaints; where there are none, the last of the other words.
    func shortened(_ others: [String]) -> String {
        lines.isEmpty ? String(others.joined(separator: "; ").suffix(300)) : lines.joined(separator: "; ")
    }
}
