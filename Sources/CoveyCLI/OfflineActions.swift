package import CoveyConfiguration

/// What is done to a daemon's root while the daemon does not run: by the program that knows the stores.
package struct OfflineActions: Sendable {
    /// Restores a backup into the store of a root, or a snapshot into its etcd; without a file that etcd goes on without
    /// its other members. Returns what was restored.
    package var restore: @Sendable (OfflineRoot, _ file: String?, _ replaces: Bool) async throws -> RestoredState
    /// Moves a root's state to another store. Returns where it was and where it is.
    package var move: @Sendable (OfflineRoot, _ target: String?) async throws -> MovedState
    /// Takes back what a root has changed of its host. Returns what was done, for people.
    package var uninstall: @Sendable (OfflineRoot) async throws -> [String]

    /// Puts the actions together.
    package init(
        restore: @escaping @Sendable (OfflineRoot, _ file: String?, _ replaces: Bool) async throws -> RestoredState,
        move: @escaping @Sendable (OfflineRoot, _ target: String?) async throws -> MovedState,
        uninstall: @escaping @Sendable (OfflineRoot) async throws -> [String]
    ) {
        self.restore = restore
        self.move = move
        self.uninstall = uninstall
    }
}

/// A daemon's root, as its configuration says.
package struct OfflineRoot: Hashable, Sendable {
    /// The folder of its state.
    package var state: String
    /// The folder of its machines.
    package var machines: String
    /// The folder of what may vanish at a reboot.
    package var run: String
    /// The store's address; nil is the file in that folder.
    package var store: String?
    /// All that the configuration says.
    package var configuration: DaemonConfiguration
}

/// What a restore has put in place.
package struct RestoredState: Hashable, Codable, Sendable {
    /// Where.
    package var store: String
    /// How many keys.
    package var keys: Int
    /// The revision that the backup was taken at.
    package var revision: Int64
    /// The new lineage.
    package var incarnation: String

    /// Puts the parts together.
    package init(store: String, keys: Int, revision: Int64, incarnation: String) {
        self.store = store
        self.keys = keys
        self.revision = revision
        self.incarnation = incarnation
    }
}

/// What a move has done.
package struct MovedState: Hashable, Codable, Sendable {
    /// Where the state was.
    package var from: String
    /// Where it is.
    package var to: String
    /// The new lineage.
    package var incarnation: String

    /// Puts the parts together.
    package init(from: String, to: String, incarnation: String) {
        self.from = from
        self.to = to
        self.incarnation = incarnation
    }
}
