internal import CoveyArchive
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Copies between host, machines and archives on the standard streams. Everything passes through this process.
struct Copying: Sendable {
    let client: CoveyClient
    let progress: CopyProgress
    /// Whether owners, whole times and all attributes are kept.
    let isExact: Bool
    /// Whether a source that is a symbolic link is followed.
    let followsLink: Bool
    /// Who reads and writes in machines; nil is root.
    let user: String?

    private let pool = BlockingPool("covey-copy")

    init(client: CoveyClient, progress: CopyProgress, isExact: Bool, followsLink: Bool, user: String?) {
        self.client = client
        self.progress = progress
        self.isExact = isExact
        self.followsLink = followsLink
        self.user = user
    }

    private func packWish(_ path: String) -> PackWish {
        PackWish(path: path, user: user, followsLink: followsLink, isExact: isExact)
    }

    private func unpackWish(_ path: String, isPlainArchive: Bool = false) -> UnpackWish {
        UnpackWish(path: path, user: user, isExact: isExact, isPlainArchive: isPlainArchive)
    }

    /// From the host into a machine.
    func send(_ source: String, to machine: String, _ path: String) async throws {
        let pipe = try ArchivePipe()
        let (progress, options) = (progress, Packer.Options(followsLink: followsLink, isExact: isExact))
        async let packed: CoveyError? = pool.run {
            defer { pipe.thread.close() }
            let packer = Packer(options, to: pipe.thread.raw)
            packer.onProgress = { progress.reached($0) }
            packer.onNote = { progress.note($0) }
            do {
                try packer.pack(source)
                return nil
            } catch {
                return CoveyError.wrapping(error)
            }
        }
        let sent = await outcome {
            try await client.unpack(machine, unpackWish(path)) {
                let bytes = try await pipe.stream.read(limit: 256 << 10)
                return bytes.isEmpty ? nil : bytes
            } note: {
                progress.note($0)
            }
        }
        // A thread that still writes learns that nobody reads.
        pipe.stream.shutdown()
        try judge(local: try await packed, remote: sent)
    }

    /// From a machine to the host.
    func fetch(_ machine: String, _ path: String, to destination: String) async throws {
        let pipe = try ArchivePipe()
        let (progress, options) = (progress, Unpacker.Options(isExact: isExact))
        async let unpacked: CoveyError? = pool.run {
            defer { pipe.thread.close() }
            let unpacker = Unpacker(options, from: pipe.thread.raw)
            unpacker.onProgress = { progress.reached($0) }
            unpacker.onNote = { progress.note($0) }
            do {
                try unpacker.unpack(to: destination)
                return nil
            } catch {
                return CoveyError.wrapping(error)
            }
        }
        let fetched = await outcome {
            try await client.pack(machine, packWish(path)) { piece in
                switch piece {
                case .bytes(let bytes): try await pipe.stream.write(bytes)
                case .note(let note): progress.note(note)
                case .end: return
                }
            }
        }
        pipe.stream.shutdown()
        try judge(local: try await unpacked, remote: fetched)
    }

    /// From one machine into another.
    func carry(_ source: String, _ path: String, to target: String, _ destination: String) async throws {
        let ends = try MachinePipe()
        let (progress, wish) = (progress, packWish(path))
        async let packed = outcome {
            defer { ends.input.shutdown() }
            try await client.pack(source, wish) { piece in
                switch piece {
                case .bytes(let bytes):
                    try await ends.input.write(bytes)
                    progress.add(bytes.count)
                case .note(let note): progress.note(note)
                case .end: return
                }
            }
        }
        let unpacked = await outcome {
            try await client.unpack(target, unpackWish(destination)) {
                let bytes = try await ends.output.read(limit: 256 << 10)
                return bytes.isEmpty ? nil : bytes
            } note: {
                progress.note($0)
            }
        }
        ends.output.shutdown()
        try judge(local: await packed, remote: unpacked)
    }

    /// An archive on standard input into a folder of a machine.
    func sendArchive(to machine: String, _ path: String) async throws {
        let streams = try StandardStreams()
        let progress = progress
        try await client.unpack(machine, unpackWish(path, isPlainArchive: true)) {
            let bytes = try await streams.read()
            progress.add(bytes?.count ?? 0)
            return bytes
        } note: {
            progress.note($0)
        }
    }

    /// A file or folder of a machine as an archive on standard output.
    func fetchArchive(_ machine: String, _ path: String) async throws {
        let streams = try StandardStreams()
        let progress = progress
        try await client.pack(machine, packWish(path)) { piece in
            switch piece {
            case .bytes(let bytes):
                try await streams.write(STDOUT_FILENO, bytes)
                progress.add(bytes.count)
            case .note(let note): progress.note(note)
            case .end: return
            }
        }
    }

    private func outcome(_ body: @Sendable () async throws -> Void) async -> CoveyError? {
        do {
            try await body()
            return nil
        } catch { return CoveyError.wrapping(error) }
    }

    /// Which of two failures is the cause: a side that only saw the other go says that its archive was cut off or that
    /// nobody reads it.
    private func judge(local: CoveyError?, remote: CoveyError?) throws(CoveyError) {
        if let local, local.code != .unavailable { throw local }
        if let remote { throw remote }
        if let local { throw local }
    }
}
