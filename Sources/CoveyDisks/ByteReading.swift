/// Little-endian numbers out of untrusted bytes; nil where they would lie outside.
extension UnsafeRawBufferPointer {
    /// The number of type `T` at an offset.
    func number<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T? {
        guard offset >= 0, offset <= count - MemoryLayout<T>.size else { return nil }
        return T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// The bytes of a range given by untrusted numbers.
    func part(at offset: UInt64, count length: UInt64) -> UnsafeRawBufferPointer? {
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow, end <= UInt64(count) else { return nil }
        return UnsafeRawBufferPointer(rebasing: self[Int(offset)..<Int(end)])
    }

    /// Whether these bytes stand at an offset.
    func holds(_ bytes: [UInt8], at offset: Int = 0) -> Bool {
        guard offset >= 0, offset <= count - bytes.count else { return false }
        return self[offset..<(offset + bytes.count)].elementsEqual(bytes)
    }
}
