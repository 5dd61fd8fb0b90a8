package import CoveyModel

extension Compare {
    /// The key or prefix that it looks at.
    package var key: StoreKey {
        switch self {
        case .exists(let key), .absent(let key), .createRevision(let key, _), .modRevision(let key, _),
            .value(let key, _), .prefixEmpty(let key):
            key
        }
    }

    fileprivate var size: Int {
        switch self {
        case .exists(let key), .absent(let key), .createRevision(let key, _), .modRevision(let key, _),
            .prefixEmpty(let key):
            key.count
        case .value(let key, let value): key.count + value.count
        }
    }

    /// Whether it holds for what stands under its key. A prefix is the store's to look at: false here.
    func holds(for entry: StoreEntry?) -> Bool {
        switch self {
        case .exists: entry != nil
        case .absent: entry == nil
        case .createRevision(_, let revision): (entry?.createRevision ?? .zero) == revision
        case .modRevision(_, let revision): (entry?.modRevision ?? .zero) == revision
        case .value(_, let value): entry?.value == value
        case .prefixEmpty: false
        }
    }
}

extension StoreOperation {
    /// The key that it works on.
    package var key: StoreKey {
        switch self {
        case .put(let key, _, _), .delete(let key), .get(let key): key
        }
    }

    /// Whether it may write.
    package var writes: Bool {
        switch self {
        case .put, .delete: true
        case .get: false
        }
    }

    fileprivate var size: Int {
        switch self {
        case .put(let key, let value, _): key.count + value.count
        case .delete(let key), .get(let key): key.count
        }
    }
}

extension Transaction {
    /// Whether neither branch can write.
    package var isReadOnly: Bool { !success.contains(where: \.writes) && !failure.contains(where: \.writes) }

    /// Throws ``ErrorCode/invalid`` for what etcd refuses: more than ``operationLimit`` compares or operations,
    /// one key twice in the puts and deletes of a branch, an empty key, more than ``sizeLimit`` bytes.
    package func check() throws(CoveyError) {
        guard
            [compares.count, success.count, failure.count].allSatisfy({ $0 <= Transaction.operationLimit })
        else {
            throw CoveyError(
                .invalid, "a store transaction has more than \(Transaction.operationLimit) compares or operations",
                remedy: "split the request")
        }
        for branch in [success, failure] {
            var seen: Set<StoreKey> = []
            for operation in branch {
                if operation.key.count == 0 { throw Transaction.emptyKey }
                if operation.writes && !seen.insert(operation.key).inserted {
                    throw CoveyError(.invalid, "a store transaction writes key \(operation.key) twice")
                }
            }
        }
        for compare in compares where compare.key.count == 0 {
            if case .prefixEmpty = compare { continue }
            throw Transaction.emptyKey
        }
        let size =
            compares.reduce(0) { $0 + $1.size } + success.reduce(0) { $0 + $1.size }
            + failure.reduce(0) { $0 + $1.size }
        guard size <= Transaction.sizeLimit else {
            throw CoveyError(
                .invalid, "a store transaction of \(size) bytes is larger than \(Transaction.sizeLimit)",
                remedy: "make the record smaller, or split the request")
        }
    }

    private static var emptyKey: CoveyError { CoveyError(.invalid, "a store transaction names an empty key") }
}
