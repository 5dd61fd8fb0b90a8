package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Synchronization

extension RegistryImages {
    package func take(
        archive path: String, name: String, into folder: String, progress: @escaping ProgressHandler
    ) async throws -> UnpackedImage? {
        let isImage = try await pool.run { cancellation in try ImageArchive.isImage(path, name: name, cancellation) }
        guard isImage else { return nil }
        let platform = Platform.of(settings.architecture)
        let (found, taken) = try await pool.run { [blobs, settings] cancellation in
            let total = try FileFacts(path).size
            var archive = ImageArchive(blobs: blobs, settings: settings, name: name)
            do {
                try archive.read(path, cancellation) { progress("archive", $0, total, "bytes") }
                progress("archive", total, total, "bytes")
                return (try archive.image(platform), archive.taken)
            } catch {
                blobs.unmark(archive.taken)
                throw error
            }
        }
        let digests = taken + [found.manifest.digest]
        blobs.mark([found.manifest.digest])
        let hold = BlobHold { [blobs] in blobs.unmark(digests) }
        try checkSize(found.manifest.manifest)
        try await blobs.keep(found.manifest.bytes, as: found.manifest.digest)
        // A name in an archive may be a bare tag, which is no reference.
        let reference = found.reference.flatMap { $0.contains(":") || $0.contains("/") ? try? ImageReference($0) : nil }
        return try await unpack(
            found.manifest, reference: reference?.canonical ?? "", platform, into: folder, hold, progress
        ) { _, _ in }
    }

    package func export(
        _ origin: ImageOrigin, output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        let names = [origin.manifestDigest, origin.configurationDigest] + origin.layers.map(\.digest)
        var seen: Set<ContentDigest> = []
        let digests = names.compactMap { ContentDigest($0) }.filter { seen.insert($0).inserted }
        blobs.mark(digests)
        defer { blobs.unmark(digests) }
        let sizes = try await pool.run { [blobs] _ in
            try digests.map { digest in
                guard fileExists(blobs.path(digest)) else {
                    throw CoveyError.notFound(
                        "blob", digest.description, remedy: "fetch the image again: covey image rm, covey image pull")
                }
                return try FileFacts(blobs.path(digest)).size
            }
        }
        let manifestBytes = try await pool.run { [blobs] _ in
            try readFile(blobs.path(digests[0]), limit: Manifest.limit)
        }
        let index = try LayoutIndex(origin, manifest: digests[0], bytes: manifestBytes).bytes()
        try await output(TarWriter.file("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8)))
        try await output(TarWriter.file("index.json", index))
        for (digest, size) in zip(digests, sizes) {
            try await output(TarWriter.header("blobs/sha256/\(digest.hex)", size: size))
            let path = blobs.path(digest)
            let file = OpenBlob(try await pool.run { _ in try openFile(path, [.readOnly, .noFollow]).release() })
            while true {
                let part = try await pool.run { _ in try readSome(file.descriptor, limit: 512 << 10) ?? [] }
                if part.isEmpty { break }
                try await output(part)
            }
            try await output(TarWriter.padding(after: size))
        }
        try await output(TarWriter.end)
    }
}

/// A blob's descriptor, closed at its end.
private final class OpenBlob: Sendable {
    private let owned: FileDescriptor

    init(_ raw: Int32) { owned = FileDescriptor(owning: raw) }

    var descriptor: Int32 { owned.raw }
}

/// The index of a layout with one image.
private struct LayoutIndex: Encodable {
    private let schemaVersion = 2
    private let mediaType = MediaType.index
    private let manifests: [Descriptor]

    init(_ origin: ImageOrigin, manifest: ContentDigest, bytes: [UInt8]) throws {
        struct Typed: Decodable { var mediaType: String? }
        let type = try JSONDecoder().decode(Typed.self, from: Data(bytes)).mediaType ?? MediaType.manifest
        manifests = [
            Descriptor(
                mediaType: type, digest: manifest, size: Int64(bytes.count),
                annotations: origin.reference.isEmpty
                    ? nil : ["org.opencontainers.image.ref.name": origin.reference])
        ]
    }

    func bytes() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }
}

/// Files of a tar, for names of at most 100 bytes. Source: POSIX, pax, "ustar Interchange Format".
enum TarWriter {
    /// The end of an archive.
    static let end = [UInt8](repeating: 0, count: 1024)

    /// A whole small file.
    static func file(_ name: String, _ content: [UInt8]) -> [UInt8] {
        header(name, size: Int64(content.count)) + content + padding(after: Int64(content.count))
    }

    /// What follows a file's content.
    static func padding(after size: Int64) -> [UInt8] {
        [UInt8](repeating: 0, count: Int((512 - size % 512) % 512))
    }

    /// The head of a file; sizes beyond octal's eight GiB are written in base 256, as GNU tar does it.
    static func header(_ name: String, size: Int64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 512)
        func put(_ text: some Sequence<UInt8>, at offset: Int) {
            for (index, byte) in text.enumerated() { bytes[offset + index] = byte }
        }
        func octal(_ number: Int64, digits: Int) -> [UInt8] {
            let text = String(number, radix: 8)
            return Array((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8)
        }
        put(name.utf8.prefix(100), at: 0)
        put(octal(0o644, digits: 7), at: 100)
        put(octal(0, digits: 7), at: 108)
        put(octal(0, digits: 7), at: 116)
        if size < 1 << 33 {
            put(octal(size, digits: 11), at: 124)
        } else {
            bytes[124] = 0x80
            for index in 0..<8 { bytes[128 + index] = UInt8(truncatingIfNeeded: size >> (56 - 8 * Int64(index))) }
        }
        put(octal(0, digits: 11), at: 136)
        put(Array(repeating: 32, count: 8), at: 148)
        bytes[156] = 48
        put("ustar\u{0}00".utf8, at: 257)
        let sum = bytes.reduce(0) { $0 + Int64($1) }
        put(octal(sum, digits: 6) + [0, 32], at: 148)
        return bytes
    }
}
