/// How the kernel proper is packed into a bzImage; the raw value is what users see.
enum KernelPayload: String, CaseIterable {
    case none
    case gzip
    case xz
    case zstd
    case lz4

    /// The compression by its magic number; nil for one that is not supported.
    init?(magicOf bytes: UnsafeRawBufferPointer) {
        guard let found = KernelPayload.allCases.first(where: { bytes.holds($0.magic) }) else { return nil }
        self = found
    }

    /// Whether the kernel's build appended the length of the content to the compressed stream (gzip ends with it).
    var hasAppendedLength: Bool {
        switch self {
        case .none, .gzip: false
        case .xz, .zstd, .lz4: true
        }
    }

    private var magic: [UInt8] {
        switch self {
        case .none: [0x7F, 0x45, 0x4C, 0x46]
        case .gzip: [0x1F, 0x8B]
        case .xz: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00]
        case .zstd: [0x28, 0xB5, 0x2F, 0xFD]
        // The legacy frame, which has no checksum and no end mark.
        case .lz4: [0x02, 0x21, 0x4C, 0x18]
        }
    }
}
