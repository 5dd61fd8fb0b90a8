internal import CoveyImages
internal import CoveyModel

/// The size that a root disk is to have.
struct DiskSize {
    /// The largest disk that is made.
    static let largest = ByteCount.gibibytes(64 << 10)

    /// In bytes, whole sectors.
    let bytes: Int64

    /// The size that is asked for over an image; nil is the image's own.
    /// Errors: ``ErrorCode/invalid`` where it is smaller than the image or absurd.
    init(_ size: ByteCount?, over image: StoredImage) throws(CoveyError) {
        let wanted = size ?? image.size
        guard wanted >= image.size else {
            let least = ByteCount(((image.size.bytes + (1 << 20) - 1) >> 20) << 20)
            throw CoveyError(
                .invalid, "a disk of \(wanted.rounded) cannot hold the image's \(image.size.rounded)",
                remedy: "ask for at least \(least), or leave the size out")
        }
        guard wanted <= DiskSize.largest, wanted.bytes > 0 else {
            throw CoveyError(
                .invalid, "a disk of \(wanted.rounded) is too large", remedy: "ask for at most \(DiskSize.largest)")
        }
        bytes = (wanted.bytes + 511) / 512 * 512
    }

    /// What an existing disk of a size has to grow to; nil where it stays.
    /// Errors: ``ErrorCode/conflict`` where it is larger than asked.
    static func growth(
        from present: Int64, to size: ByteCount?, over image: StoredImage
    ) throws(CoveyError) -> Int64? {
        guard let size else { return nil }
        let wanted = try DiskSize(size, over: image).bytes
        guard wanted >= present else {
            throw CoveyError(
                .conflict, "there is a disk of \(ByteCount(present).rounded) already, larger than \(size.rounded)",
                remedy: "disks can grow, not shrink: ask for \(ByteCount(present)) or more")
        }
        return wanted == present ? nil : wanted
    }

    /// What is at the path is not the disk that was asked for.
    static let otherDisk = CoveyError(
        .conflict, "there is another disk already", remedy: "delete the machine that it belongs to")
}
