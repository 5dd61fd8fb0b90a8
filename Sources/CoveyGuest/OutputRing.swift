/// The last bytes of one output, by offset. Grows as needed up to its capacity.
struct OutputRing {
    /// Bytes that are kept at most.
    static let capacity = 256 << 10

    private var storage: [UInt8] = []
    private var head = 0
    private var count = 0

    /// The offset of the byte after the last.
    private(set) var end: UInt64 = 0

    /// The offset of the oldest byte that is kept.
    var base: UInt64 { end - UInt64(count) }

    /// Bytes that can come before an unacknowledged one is dropped.
    func room(acknowledged: UInt64) -> Int {
        OutputRing.capacity - Int(end - min(max(base, acknowledged), end))
    }

    /// Adds bytes; the oldest go where there is no room.
    mutating func append(_ bytes: [UInt8]) {
        let kept = bytes.suffix(OutputRing.capacity)
        end += UInt64(bytes.count)
        if kept.count == OutputRing.capacity {
            storage = Array(kept)
            head = 0
            count = kept.count
            return
        }
        let excess = count + kept.count - OutputRing.capacity
        if excess > 0 {
            head = (head + excess) % storage.count
            count -= excess
        }
        if count + kept.count > storage.count { grow(to: count + kept.count) }
        let tail = (head + count) % storage.count
        let first = min(kept.count, storage.count - tail)
        storage.replaceSubrange(tail..<(tail + first), with: kept.prefix(first))
        if first < kept.count { storage.replaceSubrange(0..<(kept.count - first), with: kept.dropFirst(first)) }
        count += kept.count
    }

    /// At most `limit` bytes from an offset that is kept, without going around the end of the storage.
    func bytes(from offset: UInt64, limit: Int) -> ArraySlice<UInt8> {
        guard offset >= base, offset < end else { return [] }
        let start = (head + Int(offset - base)) % storage.count
        let length = min(limit, Int(end - offset), storage.count - start)
        return storage[start..<(start + length)]
    }

    private mutating func grow(to needed: Int) {
        var size = max(4096, storage.count)
        while size < needed { size *= 2 }
        var larger = [UInt8]()
        larger.reserveCapacity(size)
        var offset = base
        while offset < end {
            let part = bytes(from: offset, limit: count)
            larger += part
            offset += UInt64(part.count)
        }
        larger += [UInt8](repeating: 0, count: size - count)
        storage = larger
        head = 0
    }
}
