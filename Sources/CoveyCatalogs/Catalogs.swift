package import CoveyImages
package import CoveyModel
internal import CoveyRegistry
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// The configured catalogs: folders of this host or of a web server with `index.json` and `index.json.sig`.
///
/// They are read anew each time, so that what is withdrawn is gone at once.
package struct Catalogs: CatalogReader {
    private static let index = "index.json"
    private static let signature = "index.json.sig"

    private let sources: [CatalogSource]
    private let authorities: [String]
    private let scratch: String
    private let pool = BlockingPool("covey-catalogs")

    /// Catalogs of a configuration.
    ///
    /// - Parameters:
    ///   - authorities: PEM files of authorities beside the system's.
    ///   - scratch: A folder for what is being read.
    package init(_ sources: [CatalogSource], trusting authorities: [String] = [], scratch: String) {
        self.sources = sources
        self.authorities = authorities
        self.scratch = scratch
    }

    package func entries(of catalog: String?, insecure: Bool) async throws -> [CatalogEntry] {
        var entries: [CatalogEntry] = []
        let wanted = try catalog.map { [try source($0)] } ?? sources
        for source in wanted { entries += try await read(source, insecure: insecure) }
        return entries
    }

    package func fetch(
        _ entry: CatalogEntry, to path: String, insecure: Bool, progress: @escaping ProgressHandler
    ) async throws {
        let source = try source(entry.catalog)
        let file = try CatalogPlace(source.url).file(entry.url)
        guard let digest = ContentDigest(hex: entry.sha256) else {
            throw CoveyError(.corrupt, "\(entry.catalog)/\(entry.name) has no valid sha256")
        }
        let name = "\(entry.catalog)/\(entry.name)"
        try await get(
            file, to: path,
            BlobTransfer.Wanted(size: entry.size, digest: digest, limit: entry.size, name: name), insecure: insecure
        ) { done, total in progress("fetch", done, total, "bytes") }
    }

    private func source(_ name: String) throws(CoveyError) -> CatalogSource {
        if let source = sources.first(where: { $0.name == name }) { return source }
        throw CoveyError.notFound("catalog", name, remedy: "name it in the daemon's configuration: catalog.sources")
    }

    private func read(_ source: CatalogSource, insecure: Bool) async throws -> [CatalogEntry] {
        guard !source.keys.isEmpty || insecure else {
            throw CoveyError(
                .denied, "catalog \(source.name) has no key: nothing says that what it offers is its own",
                remedy: "put its key into catalog.sources (NAME=URL#KEY), or take it as it is: --insecure",
                retryable: false)
        }
        let folder = "\(scratch)/catalog-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try await pool.run { try makeFolder(folder) }
        do {
            let entries = try await read(source, in: folder, insecure: insecure)
            try await pool.run { try removeTree(folder) }
            return entries
        } catch {
            try await pool.run { try removeTree(folder) }
            throw CoveyError.wrapping(error).with(context: "catalog \(source.name)")
        }
    }

    private func read(_ source: CatalogSource, in folder: String, insecure: Bool) async throws -> [CatalogEntry] {
        let place = CatalogPlace(source.url)
        let bytes = try await small(try place.file(Catalogs.index), CatalogIndex.largest, folder, insecure)
        if !source.keys.isEmpty {
            var signature: [UInt8]?
            do {
                signature = try await small(
                    try place.file(Catalogs.signature), CatalogSignature.largest, folder, insecure)
            } catch let error as CoveyError where error.code == .notFound {
                signature = nil
            }
            try CatalogSignature.check(signature, of: bytes, keys: source.keys, catalog: source.name)
        }
        return try CatalogIndex(bytes, catalog: source.name).entries
    }

    private func small(
        _ file: CatalogPlace, _ limit: ByteCount, _ folder: String, _ insecure: Bool
    ) async throws -> [UInt8] {
        let path = "\(folder)/file"
        try await pool.run { try removeFile(path) }
        try await get(file, to: path, BlobTransfer.Wanted(limit: limit, name: file.name), insecure: insecure) { _, _ in
        }
        return try await pool.run { try readFile(path, limit: Int(limit.bytes)) }
    }

    private func get(
        _ file: CatalogPlace, to path: String, _ wanted: BlobTransfer.Wanted, insecure: Bool,
        progress: @escaping BlobTransfer.Progress
    ) async throws {
        switch file {
        case .web(let url):
            guard url.hasPrefix("https://") || insecure || CatalogPlace.isLoopback(url) else {
                throw CoveyError(
                    .denied, "\(url) is plain HTTP", remedy: "use https, or take it as it is: --insecure",
                    retryable: false)
            }
            try await HTTPSession.with(trusting: authorities) { session in
                _ = try await BlobTransfer().fetch(url, to: path, wanted, session: session, progress: progress)
            }
        case .local(let source): try await copy(source, to: path, wanted, progress)
        }
    }

    /// Copies a file of a folder that the configuration names, and checks it as one from the web.
    private func copy(
        _ source: String, to path: String, _ wanted: BlobTransfer.Wanted, _ progress: @escaping BlobTransfer.Progress
    ) async throws {
        try await pool.run {
            let input: FileDescriptor
            do throws(SystemError) { input = try openFile(source, [.readOnly, .nonBlocking]) } catch {
                guard error.isErrno(ENOENT) || error.isErrno(ENOTDIR) else { throw error }
                throw CoveyError(.notFound, "\(wanted.name) is not there: \(source)", cause: error)
            }
            let facts = try FileFacts(descriptor: input.raw)
            guard facts.kind == .file else { throw CoveyError(.invalid, "\(source) is no file") }
            let size = wanted.size ?? ByteCount(facts.size)
            guard facts.size == size.bytes, size <= wanted.limit else {
                throw CoveyError(
                    .corrupt, "\(wanted.name) is not what it is said to be: it has \(facts.size) bytes",
                    remedy: "the catalog's index and files do not fit: make the index anew")
            }
            try removeFile(path)
            let output = try openFile(path, [.writeOnly, .create, .exclusive])
            var digest = FileDigest()
            var done: Int64 = 0
            while let bytes = try readSome(input.raw, limit: 1 << 20), !bytes.isEmpty {
                done += Int64(bytes.count)
                guard done <= size.bytes else { throw CoveyError(.corrupt, "\(wanted.name) grows while it is read") }
                digest.update(bytes)
                try writeAll(output.raw, bytes)
                progress(done, size.bytes)
            }
            guard wanted.digest == nil || digest.value == wanted.digest else {
                throw CoveyError(
                    .corrupt, "\(wanted.name) is not what it is said to be: its digest is another one",
                    remedy: "the catalog's index and files do not fit: make the index anew")
            }
        }
    }
}
