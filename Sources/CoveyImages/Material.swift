package import CoveyModel

/// What an image is made of that lies on this node already.
package enum ImageMaterial: Hashable, Sendable {
    /// A file that somebody sent or that was fetched: ext4, qcow2, or an archive, also compressed; nobody vouches for
    /// it. `name` is for people.
    case file(path: String, name: String, choices: ImageChoices)
    /// A tar archive with such a file called `image` and one called `kernel`, each with any ending.
    case bundle(path: String, name: String)
    /// The disk of a stopped machine over an image.
    case disk(RootDisk, vm: String, image: StoredImage)
}

/// The catalogs that the configuration names.
package protocol CatalogReader: Sendable {
    /// What the catalogs, or one of them, offer now; `insecure` allows such without a key, and plain HTTP. Errors: ``ErrorCode/notFound`` for a catalog that is not
    /// configured, ``ErrorCode/denied`` for a bad signature, ``ErrorCode/corrupt``, ``ErrorCode/unavailable``.
    func entries(of catalog: String?, insecure: Bool) async throws -> [CatalogEntry]

    /// Fetches an entry's file to a path in a folder that is there, and checks its length and digest.
    /// Errors: as above, and ``ErrorCode/corrupt`` for another content.
    func fetch(
        _ entry: CatalogEntry, to path: String, insecure: Bool, progress: @escaping ProgressHandler
    ) async throws
}

/// No catalog at all.
package struct NoCatalogs: CatalogReader {
    /// Makes it.
    package init() {}

    package func entries(of catalog: String?, insecure: Bool) async throws -> [CatalogEntry] {
        guard let catalog else { return [] }
        throw CoveyError.notFound("catalog", catalog, remedy: "name it in the daemon's configuration")
    }

    package func fetch(
        _ entry: CatalogEntry, to path: String, insecure: Bool, progress: @escaping ProgressHandler
    ) async throws {
        throw CoveyError.notFound("catalog", entry.catalog, remedy: "name it in the daemon's configuration")
    }
}
