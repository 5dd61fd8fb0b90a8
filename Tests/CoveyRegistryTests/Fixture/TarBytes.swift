/// Tar archives, byte by byte, also those that no tar would make.
struct TarBytes {
    private(set) var bytes: [UInt8] = []

    /// Adds an entry. `type` is the flag of ustar: `0` file, `1` hard link, `2` link, `3` and `4` devices, `5` folder.
    mutating func add(
        _ name: String, type: Character = "0", _ content: [UInt8] = [], link: String = "", mode: Int = 0o644,
        size: Int? = nil, owner: Int = 0, device: (Int, Int) = (0, 0), time: Int = 1_000_000_000
    ) {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: some Sequence<UInt8>, at offset: Int, limit: Int) {
            for (index, byte) in text.prefix(limit).enumerated() { header[offset + index] = byte }
        }
        func octal(_ number: Int, at offset: Int, width: Int) {
            let digits = String(number, radix: 8)
            put(
                (String(repeating: "0", count: max(0, width - 1 - digits.count)) + digits).utf8, at: offset,
                limit: width)
        }
        put(name.utf8, at: 0, limit: 100)
        octal(mode, at: 100, width: 8)
        octal(owner, at: 108, width: 8)
        octal(owner, at: 116, width: 8)
        octal(size ?? content.count, at: 124, width: 12)
        octal(time, at: 136, width: 12)
        put(Array(repeating: 32, count: 8), at: 148, limit: 8)
        header[156] = type.asciiValue ?? 48
        put(link.utf8, at: 157, limit: 100)
        put("ustar\u{0}00".utf8, at: 257, limit: 8)
        octal(device.0, at: 329, width: 8)
        octal(device.1, at: 337, width: 8)
        let sum = header.reduce(0) { $0 + Int($1) }
        octal(sum, at: 148, width: 7)
        header[155] = 32
        bytes += header + content
        while bytes.count % 512 != 0 { bytes.append(0) }
    }

    /// The archive with its end.
    var finished: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }
}
