/// A condition of a transaction.
package enum Compare: Hashable, Sendable {
    /// The key exists (create revision not 0).
    case exists(StoreKey)
    /// The key does not exist (create revision 0).
    case absent(StoreKey)
    /// The key was made by this revision; 0 is "does not exist".
    case createRevision(StoreKey, Revision)
    /// The key was written last by this revision; 0 is "does not exist".
    case modRevision(StoreKey, Revision)
    /// The key exists and has this value.
    case value(StoreKey, [UInt8])
    /// No key begins so.
    case prefixEmpty(StoreKey)
}

/// A step of a transaction.
package enum StoreOperation: Hashable, Sendable {
    /// Writes a value; with a lease the key ends with it, without one it stays.
    case put(StoreKey, [UInt8], lease: LeaseID? = nil)
    /// Deletes a key; one that is not there is no error.
    case delete(StoreKey)
    /// Reads a key as the steps before left it.
    case get(StoreKey)
}

/// What a step answered.
package enum OperationResult: Hashable, Sendable {
    /// It was written.
    case put
    /// Whether there was something to delete.
    case deleted(Bool)
    /// What was read; nil for an absent key.
    case got(StoreEntry?)
}

/// If all compares hold then `success`, otherwise `failure`: all of it or nothing.
package struct Transaction: Hashable, Sendable {
    /// At most so many compares, and so many operations in each branch.
    package static let operationLimit = 128
    /// At most so many bytes of keys and values in the whole request.
    package static let sizeLimit = 1 << 20

    /// The conditions.
    package var compares: [Compare]
    /// What is done when all of them hold.
    package var success: [StoreOperation]
    /// What is done otherwise.
    package var failure: [StoreOperation]

    /// Makes a transaction.
    package init(
        compares: [Compare] = [], success: [StoreOperation], failure: [StoreOperation] = []
    ) {
        self.compares = compares
        self.success = success
        self.failure = failure
    }
}

/// What a transaction answered.
package struct TransactionResult: Hashable, Sendable {
    /// Whether all compares held.
    package var succeeded: Bool
    /// The store's revision after it; its own where it wrote something.
    package var revision: Revision
    /// One answer for each operation of the branch that was taken.
    package var results: [OperationResult]

    /// Puts the parts together.
    package init(succeeded: Bool, revision: Revision, results: [OperationResult]) {
        self.succeeded = succeeded
        self.revision = revision
        self.results = results
    }
}
