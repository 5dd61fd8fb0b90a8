internal import CoveyModel
internal import GRDB
internal import Glibc
internal import Synchronization

/// The lock on a store: two daemons never open one. Freed when it ends, also by a crash.
final class StoreLock: Sendable {
    private let descriptor: Mutex<Int32>

    /// Takes the lock beside a store's file. Errors: ``ErrorCode/conflict`` where another has it.
    init(_ storePath: String) throws {
        let path = storePath + ".lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        self.descriptor = Mutex(descriptor)
        guard descriptor >= 0 else { throw StoreFile.failure("open", path, errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            release()
            if reason == EWOULDBLOCK {
                throw CoveyError(
                    .conflict, "the store \(storePath) is open in another daemon",
                    remedy: "stop that daemon, or give this one another --root")
            }
            throw StoreFile.failure("flock", path, reason)
        }
    }

    deinit { release() }

    /// Frees it; again is no error.
    func release() {
        descriptor.withLock { descriptor in
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
        }
    }
}

/// The database file: how it is checked, made and opened.
enum StoreFile {
    /// `PRAGMA application_id`: "covy".
    static let applicationID = 0x636F_7679
    /// `PRAGMA user_version`: the layout of the tables.
    static let layout = 1

    /// Opens a store's database; a new one is made with its tables and first revision.
    ///
    /// Errors: ``ErrorCode/corrupt`` for a damaged file or one of another program, ``ErrorCode/unsupported`` for
    /// a newer layout. In both cases nothing was changed.
    static func open(_ path: String, incarnation: String, sizeLimit: ByteCount) throws -> DatabasePool {
        do {
            let isNew = try check(path)
            if isNew { try makeFile(path) }
            let pool = try DatabasePool(path: path, configuration: configuration)
            try pool.writeWithoutTransaction { db in
                // GRDB sets NORMAL when it turns the write-ahead log on.
                try db.execute(sql: "PRAGMA synchronous = FULL")
                let pageSize = try Int64.fetchOne(db, sql: "PRAGMA page_size") ?? 4096
                try db.execute(sql: "PRAGMA max_page_count = \(max(1, sizeLimit.bytes / pageSize))")
                let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode")
                let synchronous = try Int.fetchOne(db, sql: "PRAGMA synchronous")
                guard mode == "wal", synchronous == 2 else {
                    throw CoveyError(
                        .unsupported, "the store \(path) cannot be written durably (journal \(mode ?? "unknown"))",
                        remedy: "put the daemon's --root on a local file system")
                }
                if isNew { try makeTables(db, incarnation: incarnation) }
            }
            return pool
        } catch let error as DatabaseError {
            throw error.coveyError(path, writing: false)
        }
    }

    /// Looks at a file without changing it. True where there is no store yet.
    private static func check(_ path: String) throws -> Bool {
        var information = stat()
        guard stat(path, &information) == 0 else {
            if errno == ENOENT { return true }
            throw failure("stat", path, errno)
        }
        if information.st_size == 0 && !walExists(path) { return true }
        var reading = configuration
        reading.readonly = true
        let queue = try DatabaseQueue(path: path, configuration: reading)
        defer { try? queue.close() }
        return try queue.read { db in
            let application = try Int.fetchOne(db, sql: "PRAGMA application_id")
            let layout = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            let tables = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0
            if application == 0 && layout == 0 && tables == 0 { return true }
            guard application == applicationID else {
                throw CoveyError(
                    .corrupt, "\(path) is no store of Covey", remedy: "move it away, or give another --root")
            }
            guard layout <= StoreFile.layout else {
                throw CoveyError(
                    .unsupported, "the store \(path) has layout \(layout), this program knows \(StoreFile.layout)",
                    remedy: "install the newer Covey that wrote it; nothing was changed")
            }
            let report = try String.fetchOne(db, sql: "PRAGMA quick_check(1)")
            guard report == "ok" else { throw damaged(path, report ?? "no answer") }
            return false
        }
    }

    private static func walExists(_ path: String) -> Bool { access(path + "-wal", F_OK) == 0 }

    /// Makes the file for nobody but us, durably.
    private static func makeFile(_ path: String) throws {
        let file = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("open", path, errno) }
        Glibc.close(file)
        let folderPath = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let folder = Glibc.open(folderPath.isEmpty ? "." : folderPath, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure("open", folderPath, errno) }
        defer { Glibc.close(folder) }
        guard fsync(folder) == 0 else { throw failure("fsync", folderPath, errno) }
    }

    private static func makeTables(_ db: Database, incarnation: String) throws {
        try db.inTransaction(.immediate) {
            // A version of a key: `ended` is the revision that replaced it, or its own for a deletion.
            try db.execute(
                sql: """
                    CREATE TABLE version (
                        id INTEGER PRIMARY KEY, key BLOB NOT NULL, mod INTEGER NOT NULL, created INTEGER NOT NULL,
                        version INTEGER NOT NULL, lease INTEGER, value BLOB NOT NULL, ended INTEGER) STRICT;
                    CREATE UNIQUE INDEX version_current ON version (key) WHERE ended IS NULL;
                    CREATE INDEX version_key ON version (key, mod);
                    CREATE INDEX version_mod ON version (mod);
                    CREATE INDEX version_ended ON version (ended) WHERE ended IS NOT NULL;
                    CREATE INDEX version_lease ON version (lease) WHERE ended IS NULL AND lease IS NOT NULL;
                    CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, seconds INTEGER NOT NULL) STRICT;
                    CREATE TABLE state (
                        one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL,
                        compacted INTEGER NOT NULL) STRICT;
                    INSERT INTO state VALUES (1, 1, 0);
                    PRAGMA application_id = \(applicationID);
                    PRAGMA user_version = \(layout);
                    """)
            try db.execute(
                sql: "INSERT INTO version (key, mod, created, version, value) VALUES (?, 1, 1, 1, ?)",
                arguments: [StoreKeys.incarnation, incarnation.blob])
            return .commit
        }
    }

    private static var configuration: Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.maximumReaderCount = 4
        configuration.label = "covey-store"
        return configuration
    }

    /// A failed system call on a file of the store.
    static func failure(_ call: String, _ path: String, _ number: Int32) -> CoveyError {
        let text = "\(call) \(path): \(String(cString: strerror(number)))"
        return switch number {
        case ENOSPC, EDQUOT: StoreFile.full(text)
        case EROFS: StoreFile.readOnly(text)
        case EACCES, EPERM: CoveyError(.denied, text, remedy: "give the daemon's user access to its --root")
        case ENOENT: CoveyError(.notFound, text, remedy: "make the folder first")
        case _: CoveyError(.failure, text)
        }
    }

    static func full(_ text: String) -> CoveyError {
        CoveyError(
            .exhausted, text, remedy: "free space on the file system of the store; the daemon goes on by itself",
            retryable: true)
    }

    static func readOnly(_ text: String) -> CoveyError {
        CoveyError(
            .unavailable, text, remedy: "make the file system of the store writable; the daemon goes on by itself")
    }

    static func damaged(_ path: String, _ text: String) -> CoveyError {
        CoveyError(
            .corrupt, "the store \(path) is damaged: \(text)",
            remedy: "stop the daemon, keep a copy of the file, and restore a backup")
    }
}
