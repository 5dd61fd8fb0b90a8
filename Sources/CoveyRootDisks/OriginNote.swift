internal import CoveyImages
internal import CoveySystem
internal import Glibc

/// The note beside a disk that says which image it stands on; written before the disk is there by name.
struct OriginNote {
    /// The note's file.
    let path: String

    /// The note of a disk's file.
    init(of file: String) { path = "\(file).origin" }

    /// Writes which image it is.
    func write(_ image: StoredImage) throws { try writeFileAtomically(path, Array(image.digest.utf8)) }

    /// Whether the note is there and names this image.
    func names(_ image: StoredImage) throws -> Bool {
        guard fileExists(path) else { return false }
        return try readFile(path, limit: 4096) == Array(image.digest.utf8)
    }

    /// Removes the note; idempotent.
    func remove() throws { try removeFile(path) }
}
