internal import AsyncHTTPClient
package import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc
internal import NIOCore
internal import NIOHTTP1

/// Brings a file from a server whole and verified, over cuts, silences and servers that say later.
///
/// What came before a failure stays in the file, and the next call goes on behind it (`Range`); a server that ignores
/// ranges is read from the start. A file is never longer than what is wanted of it.
package struct BlobTransfer: Sendable {
    /// What a file has to be.
    package struct Wanted: Hashable, Sendable {
        /// Its size in bytes; nil where it is not known.
        package var size: ByteCount?
        /// Its digest; nil where it is not known, and then nothing is resumed.
        package var digest: ContentDigest?
        /// The most that is taken.
        package var limit: ByteCount
        /// What it is called in messages: `layer 3f4e…`, `index.json`.
        package var name: String

        /// Says what a file has to be.
        package init(size: ByteCount? = nil, digest: ContentDigest? = nil, limit: ByteCount, name: String) {
            self.size = size
            self.digest = digest
            self.limit = limit
            self.name = name
        }
    }

    /// What came.
    package struct Fetched: Hashable, Sendable {
        /// Bytes of the file.
        package var size: ByteCount
        /// Their digest.
        package var digest: ContentDigest
    }

    /// Bytes that are there, and bytes in all where known.
    package typealias Progress = @Sendable (_ done: Int64, _ total: Int64?) -> Void

    /// Asks the server for the bytes behind an offset.
    typealias Opening = @Sendable (_ offset: Int64) async throws -> HTTPAnswer

    private static let piece = 512 << 10

    private let limits: TransferLimits
    private let pool: BlockingPool

    /// A transfer by given limits.
    package init(limits: TransferLimits = TransferLimits()) {
        self.limits = limits
        pool = BlockingPool("covey-transfer")
    }

    /// Downloads a URL to a file; what lies there of an earlier call is gone on with.
    ///
    /// Errors: ``ErrorCode/unavailable`` where the server cannot be reached or breaks off again and again,
    /// ``ErrorCode/notFound`` where it has no such file, ``ErrorCode/corrupt`` for another size or digest (the file is
    /// then removed), ``ErrorCode/exhausted`` for one beyond the limit and for a full disk.
    package func fetch(
        _ url: String, to path: String, _ wanted: Wanted, session: HTTPSession,
        progress: @escaping Progress = { _, _ in }
    ) async throws -> Fetched {
        guard let address = URL(string: url) else { throw CoveyError(.invalid, "\(url) is no address") }
        return try await fetch(to: path, wanted, progress: progress) { offset in
            var request = HTTPRequest(url: address)
            if offset > 0 { request.headers.append((name: "Range", value: "bytes=\(offset)-")) }
            return try await session.send(request)
        }
    }

    /// Downloads what `open` answers to a file.
    func fetch(
        to path: String, _ wanted: Wanted, progress: @escaping Progress, open: Opening
    ) async throws -> Fetched {
        if let size = wanted.size, size > wanted.limit { throw tooLarge(wanted) }
        let most = (wanted.size ?? wanted.limit).bytes
        let file = try await pool.run { cancellation in try HashedFile(path, limit: most, cancellation) }
        if wanted.digest == nil || wanted.size == nil { try await pool.run { @Sendable () throws in try file.reset() } }
        try await checkSpace(for: most - file.size, wanted, path)
        var policy = RetryPolicy(limits)
        while true {
            progress(file.size, wanted.size?.bytes)
            if let size = wanted.size, file.size == size.bytes { break }
            let before = file.size
            do {
                try await attempt(file, wanted, most, progress, open)
                break
            } catch let failure as TransferFailure {
                let brought = max(0, file.size - before)
                guard failure.isTransient, let pause = policy.pause(afterFailureWith: brought, asked: failure.pause)
                else { throw failure.coveyError.with(context: "fetching \(wanted.name)") }
                if wanted.digest == nil || wanted.size == nil {
                    try await pool.run { @Sendable () throws in try file.reset() }
                }
                // Back-off, or as long as the registry asked for.
                try await Task.sleep(for: pause)
            } catch let error as CoveyError where error.code == .corrupt {
                try await pool.run { @Sendable () throws in try removeFile(path) }
                throw error
            } catch let error as SystemError {
                throw FullDisk.explain(error, doing: "fetching \(wanted.name)")
            }
        }
        return try await verified(file, wanted)
    }

    /// One request, to its end.
    private func attempt(
        _ file: HashedFile, _ wanted: Wanted, _ most: Int64, _ progress: Progress, _ open: Opening
    ) async throws {
        let answer = try await open(file.size)
        switch answer.status {
        case 200:
            if file.size > 0 { try await pool.run { @Sendable () throws in try file.reset() } }
        case 206:
            guard ContentRange(answer.headers.first(name: "Content-Range"))?.first == file.size else {
                throw CoveyError(.failure, "\(answer.url.text) sends another range than it was asked for")
            }
        case 416:
            // What is there is not what it has.
            try await pool.run { @Sendable () throws in try file.reset() }
            throw TransferFailure(description: "\(answer.url.text) has no such range", isTransient: true)
        case let status: throw HTTPProblem.of(status, answer, name: wanted.name)
        }
        if let length = answer.headers.first(name: "Content-Length").flatMap({ Int64($0) }) {
            if let size = wanted.size, file.size + length != size.bytes { throw wrongSize(wanted, file.size + length) }
            if file.size + length > most { throw tooLarge(wanted) }
        }
        let begin = ContinuousClock.now
        var window = (start: begin, bytes: Int64(0))
        var pending = ByteBuffer()
        do {
            for try await part in answer.body {
                var part = part
                window.bytes += Int64(part.readableBytes)
                guard file.size + Int64(pending.readableBytes + part.readableBytes) <= most else {
                    throw wanted.size == nil ? tooLarge(wanted) : wrongSize(wanted, nil)
                }
                pending.writeBuffer(&part)
                if pending.readableBytes >= BlobTransfer.piece {
                    try await write(&pending, to: file)
                    progress(file.size, wanted.size?.bytes)
                }
                let now = ContinuousClock.now
                if now - window.start >= limits.slowWindow {
                    guard window.bytes >= limits.slowBytes else {
                        throw TransferFailure(
                            description: "\(answer.url.text) brought \(window.bytes) bytes in "
                                + "\(limits.slowWindow.text)", isTransient: true)
                    }
                    window = (now, 0)
                }
            }
        } catch {
            // What came is kept for the next attempt.
            try await write(&pending, to: file)
            if error is SystemError { throw error }
            throw TransferFailure.wrapping(error, at: answer.url)
        }
        try await write(&pending, to: file)
        if let size = wanted.size, file.size < size.bytes {
            throw TransferFailure(
                description: "\(answer.url.text) ended after \(file.size) of \(size.bytes) bytes", isTransient: true)
        }
    }

    private func write(_ pending: inout ByteBuffer, to file: HashedFile) async throws {
        guard pending.readableBytes > 0 else { return }
        let bytes = pending
        try await pool.run { @Sendable () throws in try bytes.withUnsafeReadableBytes { try file.append($0) } }
        pending.clear()
    }

    private func verified(_ file: HashedFile, _ wanted: Wanted) async throws -> Fetched {
        let size = ByteCount(file.size)
        guard let digest = file.digest() else { throw CoveyError(.internalError, "a digest is not one") }
        if let expected = wanted.digest, digest != expected {
            try await pool.run { @Sendable () throws in try removeFile(file.path) }
            throw CoveyError(
                .corrupt, "\(wanted.name) is not what it is said to be: its digest is \(digest)",
                remedy: "the server, or one on the way to it, sends other bytes: try again, or tell the one who runs it"
            )
        }
        try await pool.run { @Sendable () throws in try file.sync() }
        return Fetched(size: size, digest: digest)
    }

    private func checkSpace(for bytes: Int64, _ wanted: Wanted, _ path: String) async throws {
        guard wanted.size != nil else { return }
        let free = try await pool.run { @Sendable () throws in try FullDisk.free(in: parentFolder(path)) }
        guard free < bytes else { return }
        throw CoveyError(
            .exhausted, "\(wanted.name) needs \(ByteCount(bytes).rounded), and \(ByteCount(free).rounded) are free",
            remedy: "free space on the file system of \(parentFolder(path)), or give the daemon another --root")
    }

    private func tooLarge(_ wanted: Wanted) -> CoveyError {
        CoveyError(
            .exhausted, "\(wanted.name) is larger than \(wanted.limit.rounded)",
            remedy: "raise the limit, or use something smaller")
    }

    private func wrongSize(_ wanted: Wanted, _ size: Int64?) -> CoveyError {
        CoveyError(
            .corrupt,
            "\(wanted.name) is \(size.map { "\($0) bytes" } ?? "longer") and not the \(wanted.size?.bytes ?? 0) bytes "
                + "that it is said to be",
            remedy: "the server, or one on the way to it, sends other bytes: try again, or tell the one who runs it")
    }
}

/// `bytes 5-9/10`.
struct ContentRange: Hashable, Sendable {
    let first: Int64

    /// Reads a header; nil where it is no range of bytes. Source: RFC 9110, 14.4.
    init?(_ header: String?) {
        guard let header, header.lowercased().hasPrefix("bytes ") else { return nil }
        let digits = header.dropFirst("bytes ".count).prefix { $0.isASCII && $0.isNumber }
        guard let first = Int64(digits) else { return nil }
        self.first = first
    }
}
