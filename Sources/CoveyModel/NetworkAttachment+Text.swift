extension NetworkAttachment {
    /// Reads `NET[:ip=…,ip6=…,mac=…]`, each at most once. Nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty else { return nil }
        self.init(network: String(name))
        guard parts.count == 2 else { return }
        for choice in parts[1].split(separator: ",", omittingEmptySubsequences: false) {
            let pair = choice.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else { return nil }
            let value = String(pair[1])
            switch pair[0] {
            case "ip":
                guard address == nil, let read = IPv4Address(value) else { return nil }
                address = read
            case "ip6":
                guard address6 == nil, let read = IPv6Address(value) else { return nil }
                address6 = read
            case "mac":
                guard mac == nil, let read = MACAddress(value) else { return nil }
                mac = read
            case _: return nil
            }
        }
    }
}

extension TrafficLimit {
    /// Reads `SIZE[,burst=SIZE][,WORD=N]`, or the parts behind it alone; sizes are bytes per second as in ``ByteCount``.
    /// Nil for anything else.
    ///
    /// - Parameter word: What operations are called: `packets` or `iops`.
    package init?(_ text: String, operations word: String) {
        self.init()
        for (index, part) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 1 {
                guard index == 0, let size = ByteCount(String(pair[0])) else { return nil }
                bytesPerSecond = size.bytes
            } else if pair[0] == "burst" {
                guard burstBytes == nil, let size = ByteCount(String(pair[1])) else { return nil }
                burstBytes = size.bytes
            } else if pair[0] == word {
                guard operationsPerSecond == nil, pair[1].utf8.allSatisfy({ (48...57).contains($0) }),
                    let number = Int64(pair[1])
                else { return nil }
                operationsPerSecond = number
            } else {
                return nil
            }
        }
    }

    /// Throws ``ErrorCode/invalid`` for a limit that limits nothing or lets nothing through.
    ///
    /// - Parameter option: What it was given by, for the remedy: `--network-limit`.
    package func check(_ option: String) throws(CoveyError) {
        let wrong: String? =
            if bytesPerSecond == nil, operationsPerSecond == nil {
                "it limits nothing"
            } else if let bytesPerSecond, !(1024...(1 << 50)).contains(bytesPerSecond) {
                "\(bytesPerSecond) bytes a second are out of range"
            } else if let operationsPerSecond, !(1...1_000_000_000).contains(operationsPerSecond) {
                "\(operationsPerSecond) a second are out of range"
            } else if burstBytes != nil, bytesPerSecond == nil {
                "a burst needs bytes a second"
            } else if let burstBytes, !(1024...(1 << 50)).contains(burstBytes) {
                "a burst of \(burstBytes) bytes is out of range"
            } else {
                nil
            }
        guard let wrong else { return }
        throw CoveyError(
            .invalid, "\(option) cannot be so: \(wrong)", remedy: "write it as 10M or 10M,burst=1M; at least 1K")
    }
}
