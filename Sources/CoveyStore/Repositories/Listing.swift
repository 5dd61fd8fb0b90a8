/// A record that this program cannot read. It stays where it is.
package struct SetAside: Hashable, Sendable {
    /// Where it stands.
    package var key: StoreKey
    /// Why it cannot be read.
    package var reason: String

    /// Puts the parts together.
    package init(key: StoreKey, reason: String) {
        self.key = key
        self.reason = reason
    }
}

/// What is there at one revision.
package struct Listing<Item: Sendable>: Sendable {
    /// What could be read, in the order of tenants and ids.
    package var items: [Item]
    /// What could not; neither deleted nor hidden.
    package var setAside: [SetAside]
    /// The revision that was read.
    package var revision: Revision

    /// Puts the parts together.
    package init(items: [Item], setAside: [SetAside], revision: Revision) {
        self.items = items
        self.setAside = setAside
        self.revision = revision
    }
}
