internal import CoveyModel

/// The parts of an x86 boot image that matter here. No number in it is trusted.
///
/// Source: the kernel's Documentation/arch/x86/boot.rst.
struct BzImage {
    /// What `uname -r` prints; nil where the header does not say.
    let release: String?
    /// How the payload is packed.
    let compression: KernelPayload
    /// The packed kernel, without the length behind it.
    let payload: UnsafeRawBufferPointer
    /// The unpacked kernel's length, as the build wrote it behind the payload; nil for an unpacked one.
    let unpackedLength: Int?

    /// The unpacked kernel's CRC-32, where the packing has one that libarchive does not look at.
    let checksum: UInt32?

    private static let sector = 512

    /// Whether bytes begin like a boot image.
    static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.holds(Array("HdrS".utf8), at: 0x202)
    }

    /// Takes a boot image apart. Errors: ``ErrorCode/corrupt``, ``ErrorCode/unsupported``.
    init(_ bytes: UnsafeRawBufferPointer, subject: String) throws(CoveyError) {
        func damaged(_ what: String) -> CoveyError {
            CoveyError(
                .corrupt, "\(subject) is a damaged boot image: \(what)", remedy: "fetch the kernel again")
        }
        guard let flag = bytes.number(UInt16.self, at: 0x1FE), flag == 0xAA55,
            let version = bytes.number(UInt16.self, at: 0x206), let sectors = bytes.number(UInt8.self, at: 0x1F1),
            let offset = bytes.number(UInt32.self, at: 0x248), let length = bytes.number(UInt32.self, at: 0x24C)
        else { throw damaged("its setup header is cut off or wrong") }
        guard version >= 0x0208 else {
            throw CoveyError(
                .unsupported, "\(subject) has boot protocol \(version >> 8).\(version & 255), older than 2.8",
                remedy: "import a kernel of version 2.6.26 or later")
        }
        let setup = (sectors == 0 ? 4 : Int(sectors)) + 1
        guard length > 8,
            let packed = bytes.part(at: UInt64(setup * BzImage.sector) + UInt64(offset), count: UInt64(length))
        else { throw damaged("its payload lies outside the file") }
        guard let compression = KernelPayload(magicOf: packed) else {
            throw CoveyError(
                .unsupported, "the payload of \(subject) is packed in a way that is not known, or damaged",
                remedy: "import a kernel packed with gzip, xz, zstd or lz4")
        }
        self.compression = compression
        switch compression {
        case .none:
            payload = packed
            unpackedLength = nil
            checksum = nil
        case .gzip, .xz, .zstd, .lz4:
            let tail = packed.count - 4
            payload = compression.hasAppendedLength ? UnsafeRawBufferPointer(rebasing: packed[..<tail]) : packed
            unpackedLength = packed.number(UInt32.self, at: tail).map { Int($0) }
            checksum = compression == .gzip ? packed.number(UInt32.self, at: tail - 4) : nil
        }
        let pointer = bytes.number(UInt16.self, at: 0x20E).map { Int($0) } ?? 0
        guard pointer > 0, pointer < (setup - 1) * BzImage.sector, 0x200 + pointer < bytes.count else {
            release = nil
            return
        }
        let text = bytes[(0x200 + pointer)...].prefix(256).prefix { $0 > 32 && $0 < 127 }
        release = String(decoding: text, as: UTF8.self)
    }
}

/// The release of a kernel, checked: it becomes part of paths.
enum KernelRelease {
    /// The release if it is one. Errors: ``ErrorCode/corrupt``.
    static func checked(_ text: String, of subject: String) throws(CoveyError) -> String {
        let allowed = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._+~-".contains($0)) }
        guard allowed, (1...64).contains(text.utf8.count), text.first?.isNumber == true, !text.contains("..") else {
            throw CoveyError(.corrupt, "\(subject) names no valid kernel release", remedy: "fetch the kernel again")
        }
        return text
    }
}
