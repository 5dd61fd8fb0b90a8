internal import CoveyModel
internal import CoveyNode
internal import CoveyStore
internal import CoveySystem
internal import Glibc
internal import Logging

/// A root's state while its daemon does not run.
package struct OfflineState: Sendable {
    /// What a restore has put in place.
    package struct Restored: Sendable {
        /// Where, without files.
        package var store: String
        /// How many keys.
        package var keys: Int
        /// The revision that the backup was taken at.
        package var revision: Int64
        /// The new lineage.
        package var incarnation: String
    }

    /// What a move has done.
    package struct Moved: Sendable {
        /// Where the state was, without files.
        package var from: String
        /// Where it is, without files.
        package var to: String
        /// The new lineage.
        package var incarnation: String
    }

    private let folder: String
    private let run: String
    private let etcd: OwnEtcdSettings
    private let faults: FaultPoints

    /// The state in a folder, and the folder of what may vanish at a reboot.
    package init(folder: String, run: String, etcd: OwnEtcdSettings = OwnEtcdSettings()) {
        self.folder = folder
        self.run = run
        self.etcd = etcd
        faults = FaultSwitch.points(Logger(label: "covey"))
    }

    // MARK: Restoring

    /// Puts a backup in place of a root's state.
    ///
    /// - Parameters:
    ///   - path: The file. The caller is who reads it: this is no part of the daemon.
    ///   - address: The store; nil is the root's own file.
    ///   - replaces: Whether state that is there may go.
    /// - Throws: ``ErrorCode/corrupt`` and ``ErrorCode/unsupported`` for the file, ``ErrorCode/conflict`` where there
    ///   is state, another root, or a daemon: nothing was changed then.
    package func restore(_ path: String, into address: String?, replaces: Bool) async throws -> Restored {
        if address == StoreRecord.own, try OwnMember.isSnapshot(path) {
            return try await recover(from: path, replaces: replaces)
        }
        let pool = BlockingPool("covey-backup")
        let summary = try await pool.run { try Self.summary(path) }
        guard let header = summary.header else { throw CoveyError(.internalError, "the backup has no header") }
        try makeFolder(folder)
        let lock = try await RootLock(folder)
        defer { lock.release() }
        if let record = try StoreRecord.load(folder), !replaces { try record.check(address) }
        try takeIdentity(header, summary)
        if address == nil, replaces { try await setDamagedFileAside() }
        let incarnation = Self.newIncarnation()
        try await awaken(address)
        try await withStore(address, folder: folder) { store in
            let filling = StoreFilling(store)
            let isFree = try await filling.isFree()
            guard isFree || replaces else {
                throw CoveyError(
                    .conflict, "there is state in \(try StoreRecord.name(of: address)) already",
                    remedy: "keep a backup of it, and give --replace to throw it away")
            }
            if !isFree { try await refuseOthers(store, running: true) }
            let replaced = isFree ? nil : try await store.incarnation()
            try await filling.begin("a restore")
            try faults.reach("restore.begun")
            try await fill(filling, from: path, pool)
            try faults.reach("restore.filled")
            try await filling.publish(incarnation, of: header, replacing: replaced)
        }
        try faults.reach("restore.published")
        let name = try StoreRecord.name(of: address)
        try StoreRecord(store: name, incarnation: incarnation).save(folder)
        try MoveRecord.remove(folder)
        return Restored(store: name, keys: summary.count, revision: header.revision, incarnation: incarnation)
    }

    /// What other daemons keep in a store is not this root's to take away. Errors: ``ErrorCode/conflict``.
    private func refuseOthers(_ store: any Store, running: Bool) async throws {
        let own = try Identity.find(folder)?.node
        guard let other = try await store.nodes(besides: own, present: running).first else { return }
        if running {
            throw CoveyError(
                .conflict, "the daemon of node \(other) uses this store, too, and runs",
                remedy: "stop the daemons of all its nodes (covey node ls), wait \(Nodes.presence) s, and try again")
        }
        throw CoveyError(
            .conflict, "node \(other) keeps its state in this store, too: it cannot be moved",
            remedy: "a store of several daemons stays where it is; back it up: covey system backup")
    }

    /// Reads the whole file and checks it.
    private static func summary(_ path: String) throws -> BackupSummary {
        var summary = BackupSummary()
        let file = try openFile(path, .readOnly)
        while let bytes = try readSome(file.raw), !bytes.isEmpty { try summary.take(bytes) }
        try summary.finish()
        return summary
    }

    private func fill(_ filling: StoreFilling, from path: String, _ pool: BlockingPool) async throws {
        let file = SharedFile(try openFile(path, .readOnly))
        var decoder = BackupDecoder()
        while true {
            let bytes = try await pool.run { try readSome(file.raw) ?? [] }
            if bytes.isEmpty { break }
            try await filling.write(try decoder.take(bytes))
        }
        // What was whole a moment ago may be another file now.
        try decoder.finish()
    }

    /// A new root becomes the backup's; one that is something already must be known to it.
    private func takeIdentity(_ header: BackupHeader, _ summary: BackupSummary) throws {
        if let identity = try Identity.find(folder) {
            guard summary.knows(identity.node) else {
                throw CoveyError(
                    .conflict, "the backup is of another root: it does not know node \(identity.node)",
                    remedy: "restore it into an empty --root")
            }
            return
        }
        guard let node = header.node.flatMap({ NodeID($0) }), let instance = header.instance.flatMap({ InstanceID($0) })
        else { return }
        try Identity(node: node, instance: instance).save(folder)
    }

    /// A damaged file is kept, under another name, and a new one is made.
    private func setDamagedFileAside() async throws {
        do { try await withStore(nil, folder: folder) { _ in } } catch let error as CoveyError
            where error.code == .corrupt
        {
            for ending in ["", "-wal", "-shm"] { try moveAside(OpenStore.file(folder) + ending) }
        }
    }

    // MARK: Moving

    /// Moves the state to another store. Until the root's record names the new store the old one is the truth, and
    /// afterwards the new one; each step can be done again.
    ///
    /// - Parameters:
    ///   - source: Where the daemon was told that the state is.
    ///   - target: Where it is to be; nil is the root's own file.
    /// - Throws: ``ErrorCode/conflict`` where the state is elsewhere, or there is other state at the target.
    package func move(from source: String?, to target: String?) async throws -> Moved {
        try makeFolder(folder)
        let lock = try await RootLock(folder)
        defer { lock.release() }
        guard let record = try StoreRecord.load(folder) else {
            throw CoveyError(.notFound, "there is no state in \(folder)", remedy: "name the daemon's --root")
        }
        var source = source
        if let begun = try MoveRecord.load(folder) {
            // One that was committed is ended first, whatever is asked here.
            if record.incarnation == begun.incarnation {
                let moved = try await end(begun)
                if begun.to == target { return moved }
                source = begun.to
            }
            try MoveRecord.remove(folder)
        }
        let name = try StoreRecord.name(of: target)
        if try record.isSame(target) {
            throw CoveyError(.conflict, "the state is in \(name) already", remedy: "covey daemon --store \(name)")
        }
        if try !record.isSame(source) {
            throw CoveyError(
                .conflict, "the state of this root is kept in \(record.store)",
                remedy: "name that store with its files: --store \(record.store)")
        }
        try await awaken(source)
        try await awaken(target)
        let move = MoveRecord(from: source, to: target, incarnation: Self.newIncarnation())
        try move.save(folder)
        try faults.reach("move.intended")
        do { try await copy(move, record) } catch {
            // The old store is the truth; what was begun at the target is thrown away by the next move.
            try MoveRecord.remove(folder)
            throw error
        }
        try StoreRecord(store: name, incarnation: move.incarnation).save(folder)
        try faults.reach("move.committed")
        return try await end(move)
    }

    private func copy(_ move: MoveRecord, _ record: StoreRecord) async throws {
        try await withStore(move.from, folder: folder) { old in
            try await old.checkUsable()
            let lineage = try await old.lineage()
            try record.check(lineage)
            try await refuseOthers(old, running: false)
            try await withStore(move.to, folder: folder) { new in
                let filling = StoreFilling(new)
                // Filled by a move that was ended before it was committed.
                let isOurs = try await new.lineage().ancestors.contains(lineage.incarnation)
                guard try await filling.isFree() || isOurs else {
                    throw CoveyError(
                        .conflict, "there is other state in \(try StoreRecord.name(of: move.to))",
                        remedy: "give it a prefix of its own: etcd://HOST:PORT/PREFIX")
                }
                let snapshot = try await StoreSnapshot(of: old)
                try await filling.begin("a move from \(try StoreRecord.name(of: move.from))")
                try faults.reach("move.begun")
                try await snapshot.pages { entries in
                    try await filling.write(entries.map { ($0.key, $0.value) })
                }
                try faults.reach("move.filled")
                let copied = try await StoreSnapshot(of: new).digest()
                guard try await snapshot.digest() == copied else {
                    throw CoveyError(.internalError, "what was written to the new store is not what was in the old one")
                }
                try await filling.publish(move.incarnation, of: snapshot.header)
            }
        }
        try faults.reach("move.published")
    }

    /// Says in the old store where the state went.
    private func end(_ move: MoveRecord) async throws -> Moved {
        let name = try StoreRecord.name(of: move.to)
        try await withStore(move.from, folder: folder) { try await StoreFilling($0).leave(for: name) }
        try faults.reach("move.left")
        try MoveRecord.remove(folder)
        return Moved(from: try StoreRecord.name(of: move.from), to: name, incarnation: move.incarnation)
    }

    /// Makes the root's own member the only one of its etcd, and begins a new lineage on it.
    ///
    /// - Parameter snapshot: A snapshot of etcd; nil is what the member itself has stored.
    /// - Throws: ``ErrorCode/conflict`` where other members answer, ``ErrorCode/corrupt`` for a snapshot that was cut
    ///   or changed: nothing was changed then.
    package func recover(from snapshot: String?, replaces: Bool) async throws -> Restored {
        try makeFolder(run)
        let lock = try await RootLock(folder)
        defer { lock.release() }
        guard let identity = try Identity.find(folder) else {
            throw CoveyError(
                .notFound, "there is no root in \(folder)",
                remedy: "name the daemon's --root; a new root is made by covey daemon --prepare")
        }
        if let record = try StoreRecord.load(folder) { try record.check(StoreRecord.own) }
        let incarnation = Self.newIncarnation()
        var restored = Restored(store: StoreRecord.own, keys: 0, revision: 0, incarnation: incarnation)
        try await OwnMember.recover(
            folder, run: run, identity.instance, etcd, from: snapshot, replaces: replaces, faults: faults
        ) { store in
            let old = try await store.lineage()
            let taken = try await StoreSnapshot(of: store)
            try await taken.pages { restored.keys += $0.count }
            restored.revision = taken.header.revision
            try await StoreFilling(store).publish(incarnation, of: taken.header, replacing: old.incarnation)
            try faults.reach("recovery.published")
            try StoreRecord(store: StoreRecord.own, incarnation: incarnation).save(folder)
        }
        return restored
    }

    /// Starts the root's own member of etcd, where the state is or goes there.
    private func awaken(_ address: String?) async throws {
        guard address == StoreRecord.own else { return }
        guard let identity = try Identity.find(folder) else {
            throw CoveyError(.notFound, "there is no root in \(folder)", remedy: "name the daemon's --root")
        }
        try makeFolder(run)
        try await OwnMember.ensure(folder, run: run, identity.instance)
        let clock = ContinuousClock()
        let end = clock.now + .seconds(60)
        while true {
            do { return try await withStore(address, folder: folder) { _ in } } catch let error as CoveyError
                where error.code == .unavailable && clock.now < end
            {
                try await clock.sleep(for: .milliseconds(200))
            }
        }
    }

    private static func newIncarnation() -> String {
        (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined()
    }
}

/// A file that stays open as long as somebody reads it.
private final class SharedFile: Sendable {
    private let file: FileDescriptor

    init(_ file: consuming FileDescriptor) { self.file = file }

    var raw: Int32 { file.raw }
}
