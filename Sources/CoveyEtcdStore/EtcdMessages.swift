internal import CoveyModel
internal import CoveyStore
internal import FoundationEssentials

/// Keys as they stand in etcd: below the store's prefix.
struct EtcdKeys: Sendable {
    /// The bytes before every key, with a `/` at the end.
    let prefix: [UInt8]

    init(_ prefix: String) { self.prefix = Array("\(prefix)/".utf8) }

    /// A key, or the beginning of keys.
    func key(_ key: StoreKey) -> Data { Data(prefix + key.bytes) }

    /// The first key after all that begin so. Keys are UTF-8, so the last byte has a successor.
    func end(_ key: StoreKey) -> Data {
        var bytes = prefix + key.bytes
        bytes[bytes.count - 1] += 1
        return Data(bytes)
    }

    /// A key without the prefix. Errors: ``ErrorCode/corrupt`` for one that is not below it or is no text.
    func storeKey(_ data: Data) throws(CoveyError) -> StoreKey {
        guard data.starts(with: prefix), let text = String(validating: data.dropFirst(prefix.count), as: UTF8.self)
        else {
            throw CoveyError(
                .corrupt, "etcd has a key below the store's prefix that is none of Covey's",
                remedy: "give the store a prefix of its own: etcd://HOST:PORT/PREFIX")
        }
        return StoreKey(text)
    }

    func entry(_ pair: Mvccpb_KeyValue) throws(CoveyError) -> StoreEntry {
        StoreEntry(
            key: try storeKey(pair.key), value: Array(pair.value), createRevision: Revision(pair.createRevision),
            modRevision: Revision(pair.modRevision), version: pair.version,
            lease: pair.lease == 0 ? nil : LeaseID(pair.lease))
    }

    func event(_ event: Mvccpb_Event) throws(CoveyError) -> StoreEvent {
        switch event.type {
        case .put: .put(try entry(event.kv))
        case .delete: .delete(try storeKey(event.kv.key))
        case .UNRECOGNIZED(let number):
            throw CoveyError(
                .unsupported, "etcd sent a change of kind \(number), which this program does not know",
                remedy: "install a newer Covey, or an older etcd")
        }
    }

    // MARK: Transactions

    func request(_ transaction: Transaction) -> Etcdserverpb_TxnRequest {
        var request = Etcdserverpb_TxnRequest()
        request.compare = transaction.compares.map(compare)
        request.success = transaction.success.map(operation)
        request.failure = transaction.failure.map(operation)
        return request
    }

    func result(
        _ response: Etcdserverpb_TxnResponse, of transaction: Transaction
    ) throws(CoveyError) -> TransactionResult {
        let branch = response.succeeded ? transaction.success : transaction.failure
        guard branch.count == response.responses.count else { throw EtcdKeys.wrongAnswer }
        var results: [OperationResult] = []
        for (operation, answer) in zip(branch, response.responses) {
            switch (operation, answer.response) {
            case (.put, .responsePut?): results.append(.put)
            case (.delete, .responseDeleteRange(let deletion)?): results.append(.deleted(deletion.deleted > 0))
            case (.get, .responseRange(let range)?):
                results.append(.got(try range.kvs.first.map { pair throws(CoveyError) in try entry(pair) }))
            case (.put, _), (.delete, _), (.get, _): throw EtcdKeys.wrongAnswer
            }
        }
        return TransactionResult(
            succeeded: response.succeeded, revision: Revision(response.header.revision), results: results)
    }

    private static var wrongAnswer: CoveyError {
        CoveyError(.outcomeUnknown, "etcd's answer to a transaction does not fit it")
    }

    private func compare(_ wanted: Compare) -> Etcdserverpb_Compare {
        var compare = Etcdserverpb_Compare()
        compare.key = key(wanted.key)
        compare.result = .equal
        switch wanted {
        case .exists:
            compare.target = .create
            compare.result = .greater
            compare.createRevision = 0
        case .absent:
            compare.target = .create
            compare.createRevision = 0
        case .createRevision(_, let revision):
            compare.target = .create
            compare.createRevision = revision.number
        case .modRevision(_, let revision):
            compare.target = .mod
            compare.modRevision = revision.number
        case .value(_, let value):
            compare.target = .value
            compare.value = Data(value)
        case .prefixEmpty(let prefix):
            // Holds for every key of the range only where there is none.
            compare.target = .create
            compare.createRevision = 0
            compare.rangeEnd = end(prefix)
        }
        return compare
    }

    private func operation(_ wanted: StoreOperation) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        switch wanted {
        case .put(let key, let value, let lease):
            operation.requestPut.key = self.key(key)
            operation.requestPut.value = Data(value)
            operation.requestPut.lease = lease?.number ?? 0
        case .delete(let key): operation.requestDeleteRange.key = self.key(key)
        case .get(let key): operation.requestRange.key = self.key(key)
        }
        return operation
    }
}
