internal import CoveyModel

/// What the header of a qcow2 file says. No number in it is trusted.
///
/// Source: QEMU's docs/interop/qcow2.txt.
struct Qcow2Header: Equatable {
    /// Bytes from the file's start that hold it.
    static let needed = 112

    /// The disk's size.
    let size: ByteCount
    /// Whether it stands on another file.
    let hasBacking: Bool
    /// Whether its content is in another file.
    let hasDataFile: Bool
    /// Whether its content is encrypted.
    let isEncrypted: Bool

    private static let magic = Array("QFI".utf8) + [0xFB]
    private static let dataFileFeature: UInt64 = 0x4

    /// Whether bytes begin like a qcow2 file.
    static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.holds(magic) }

    /// Reads a header. Errors: ``ErrorCode/corrupt``, ``ErrorCode/unsupported`` for another version.
    init(_ bytes: UnsafeRawBufferPointer, subject: String) throws(CoveyError) {
        let damaged = CoveyError(.corrupt, "\(subject) is a damaged qcow2 file", remedy: "fetch or make it again")
        func number<T: FixedWidthInteger>(_ type: T.Type, _ offset: Int) throws(CoveyError) -> T {
            guard let number = bytes.number(T.self, at: offset) else { throw damaged }
            return T(bigEndian: number)
        }
        guard Qcow2Header.recognises(bytes) else { throw damaged }
        let version = try number(UInt32.self, 4)
        guard version == 2 || version == 3 else {
            throw CoveyError(
                .unsupported, "\(subject) is qcow2 of version \(version)",
                remedy: "convert it: qemu-img convert -O qcow2 \(subject) NEW")
        }
        guard let size = Int64(exactly: try number(UInt64.self, 24)), size > 0 else { throw damaged }
        self.size = ByteCount(size)
        hasBacking = try number(UInt64.self, 8) != 0
        isEncrypted = try number(UInt32.self, 32) != 0
        hasDataFile = version == 3 ? try number(UInt64.self, 72) & Qcow2Header.dataFileFeature != 0 : false
    }

    /// The name of the file that it stands on; nil where it names none within the bytes.
    static func backing(_ bytes: UnsafeRawBufferPointer) -> String? {
        guard let offset = bytes.number(UInt64.self, at: 8).map({ Int(clamping: UInt64(bigEndian: $0)) }),
            let length = bytes.number(UInt32.self, at: 16).map({ Int(UInt32(bigEndian: $0)) }),
            offset > 0, length > 0, length <= bytes.count, offset <= bytes.count - length
        else { return nil }
        return String(decoding: bytes[offset..<(offset + length)], as: UTF8.self)
    }

    /// Throws where the file is not whole in itself: it would name files of this host.
    func requireAlone(_ subject: String) throws(CoveyError) {
        let flatten = "make it whole: qemu-img convert -O qcow2 \(subject) NEW"
        if hasBacking {
            throw CoveyError(.invalid, "\(subject) stands on a backing file, which is not sent", remedy: flatten)
        }
        if hasDataFile {
            throw CoveyError(.invalid, "\(subject) keeps its content in another file", remedy: flatten)
        }
        if isEncrypted {
            throw CoveyError(
                .unsupported, "\(subject) is encrypted", remedy: "decrypt it: qemu-img convert --image-opts …")
        }
    }
}
