internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// Blobs by their digest, each once: `sha256/HEX`, half ones in `partial/HEX`.
///
/// What a running pull needs is marked, and nothing marked is removed.
final class BlobStore: Sendable {
    private struct State {
        var marks: [ContentDigest: Int] = [:]
        var collecting = 0
        /// Unmarked during a collection, which may have read its list before.
        var late: [ContentDigest] = []
    }

    private let root: String
    private let transfer: BlobTransfer
    private let pool = BlockingPool("covey-blobs")
    private let state = Mutex(State())
    private let turns = Turns<ContentDigest>()

    init(root: String, limits: TransferLimits) {
        self.root = root
        transfer = BlobTransfer(limits: limits)
    }

    /// Where a blob lies.
    func path(_ digest: ContentDigest) -> String { "\(root)/sha256/\(digest.hex)" }

    private func partial(_ digest: ContentDigest) -> String { "\(root)/partial/\(digest.hex)" }

    /// Keeps blobs from being removed until ``unmark(_:)``.
    func mark(_ digests: [ContentDigest]) {
        state.withLock { state in for digest in digests { state.marks[digest, default: 0] += 1 } }
    }

    /// Lets go of what was marked.
    func unmark(_ digests: [ContentDigest]) {
        state.withLock { state in
            guard state.collecting == 0 else {
                state.late += digests
                return
            }
            drop(digests, &state)
        }
    }

    private func drop(_ digests: [ContentDigest], _ state: inout State) {
        for digest in digests {
            let left = (state.marks[digest] ?? 1) - 1
            state.marks[digest] = left > 0 ? left : nil
        }
    }

    /// Brings a blob, once however many ask for it. The blob has to be marked.
    func bring(
        _ descriptor: Descriptor, name: String, limit: ByteCount, progress: @escaping BlobTransfer.Progress,
        open: BlobTransfer.Opening
    ) async throws {
        let (digest, size) = (descriptor.digest, descriptor.size)
        try await turns.run(digest) {
            if try await pool.run({ @Sendable () throws in try self.holds(digest, size) }) {
                return progress(size, size)
            }
            let partial = partial(digest)
            try await pool.run { @Sendable () throws in
                for folder in ["sha256", "partial"] { try makeFolder("\(self.root)/\(folder)") }
            }
            _ = try await transfer.fetch(
                to: partial,
                BlobTransfer.Wanted(size: ByteCount(size), digest: digest, limit: limit, name: name),
                progress: progress, open: open)
            try await publish(partial, digest)
        }
    }

    /// Keeps bytes that were verified. The blob has to be marked.
    func keep(_ bytes: [UInt8], as digest: ContentDigest) async throws {
        try await turns.run(digest) {
            let partial = partial(digest)
            try await pool.run { cancellation in
                for folder in ["sha256", "partial"] { try makeFolder("\(self.root)/\(folder)") }
                do {
                    let file = try HashedFile(partial, limit: 0, cancellation)
                    try bytes.withUnsafeBytes { try file.append($0) }
                    try file.sync()
                } catch let error as SystemError {
                    throw FullDisk.explain(error, doing: "keeping \(digest)")
                }
            }
            try await publish(partial, digest)
        }
    }

    /// Takes in a file that lies on the same file system and was verified.
    func publish(_ file: String, _ digest: ContentDigest) async throws {
        try await pool.run { @Sendable () throws in
            let target = self.path(digest)
            try makeFolder(parentFolder(target))
            try check("rename", target) { rename(file, target) }
            try syncFolder(parentFolder(target))
        }
    }

    /// Whether a blob is there whole. Blocks.
    private func holds(_ digest: ContentDigest, _ size: Int64) throws(SystemError) -> Bool {
        do throws(SystemError) {
            let facts = try FileFacts(path(digest))
            return facts.kind == .file && facts.size == size
        } catch {
            guard error.isErrno(ENOENT) else { throw error }
            return false
        }
    }

    /// Takes in bytes that `fill` gives, piece by piece, under the digest that they turn out to have, and marks it.
    /// Blocks. Errors: ``ErrorCode/exhausted`` beyond the limit and for a full disk.
    func take(
        limit: Int64, _ cancellation: Cancellation,
        fill: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> (digest: ContentDigest, size: Int64) {
        for folder in ["sha256", "partial"] { try makeFolder("\(root)/\(folder)") }
        // A name of its own, of the form of all others, so that a sweep knows it.
        let name = hexadecimal((0..<32).map { _ in UInt8.random(in: .min ... .max) })
        let path = "\(root)/partial/\(name)"
        guard let own = ContentDigest(hex: name) else { throw CoveyError(.internalError, "a digest is not one") }
        mark([own])
        defer { unmark([own]) }
        do {
            let file = try HashedFile(path, limit: 0, cancellation)
            try fill { bytes in
                try cancellation.check()
                guard file.size + Int64(bytes.count) <= limit else {
                    throw CoveyError(
                        .exhausted, "the archive's files are more than \(ByteCount(limit).rounded)",
                        remedy: "use a smaller image", retryable: false)
                }
                try file.append(bytes)
            }
            try file.sync()
            guard let digest = file.digest() else { throw CoveyError(.internalError, "a digest is not one") }
            mark([digest])
            try check("rename", path) { rename(path, self.path(digest)) }
            return (digest, file.size)
        } catch {
            try removeFile(path)
            throw error
        }
    }

    /// Removes what is neither wanted nor marked. Returns the bytes that it gave back.
    func collect(partial: Bool, wanted: @Sendable () async throws -> Set<String>) async throws -> ByteCount {
        state.withLock { $0.collecting += 1 }
        defer {
            state.withLock { state in
                state.collecting -= 1
                guard state.collecting == 0 else { return }
                drop(state.late, &state)
                state.late = []
            }
        }
        let kept = try await wanted()
        return try await pool.run { cancellation in
            var bytes: Int64 = 0
            for kind in partial ? ["sha256", "partial"] : ["sha256"] {
                let folder = "\(self.root)/\(kind)"
                guard fileExists(folder) else { continue }
                for name in try listFolder(folder) {
                    try cancellation.check()
                    guard let digest = ContentDigest(hex: name) else { continue }
                    if kind == "sha256", kept.contains(digest.description) { continue }
                    bytes += try self.removeUnmarked("\(folder)/\(name)", digest)
                }
            }
            return ByteCount(bytes)
        }
    }

    /// What all takes, and what ``collect(partial:wanted:)`` would remove. Blocks.
    func usage(wanted: Set<String>) throws -> (blobs: DiskUsage, loose: [PrunedItem]) {
        var blobs = DiskUsage(kind: .blobs)
        var loose: [PrunedItem] = []
        for (part, kind) in [("sha256", PrunedItem.Kind.blob), ("partial", .download)] {
            let folder = "\(root)/\(part)"
            guard fileExists(folder) else { continue }
            for name in try listFolder(folder).sorted() {
                guard let digest = ContentDigest(hex: name) else { continue }
                let facts: FileFacts
                do throws(SystemError) { facts = try FileFacts("\(folder)/\(name)") } catch {
                    guard error.isErrno(ENOENT) else { throw error }
                    continue
                }
                let isWanted = kind == .blob && wanted.contains(digest.description)
                let isNeeded = isWanted || state.withLock { $0.marks[digest] != nil }
                blobs.add(count: 1, size: facts.size, allocated: facts.allocated, isNeeded: isNeeded)
                guard !isNeeded else { continue }
                loose.append(
                    PrunedItem(kind: kind, name: digest.description, freed: ByteCount(facts.allocated)))
            }
        }
        return (blobs, loose)
    }

    /// Removes a file under the lock that marks are set under: it cannot be marked in between.
    private func removeUnmarked(_ path: String, _ digest: ContentDigest) throws -> Int64 {
        try state.withLock { state in
            guard state.marks[digest] == nil else { return 0 }
            let size = try FileFacts(path).size
            try removeFile(path)
            return size
        }
    }
}
