internal import CoveyEtcdStore
internal import CoveyModel
internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix

/// etcd by its generated client alone: one connection to one member, nothing between a call and its answer.
final class BareEtcd: StoreSubject {
    private let client: GRPCClient<HTTP2ClientTransport.Posix>
    private let keys: Etcdserverpb_KV.Client<HTTP2ClientTransport.Posix>
    private let work: Task<Void, any Error>

    /// The first member of an address.
    convenience init(_ place: String) async throws { try self.init(try EtcdAddress(place).endpoints[0]) }

    /// A member.
    init(_ endpoint: EtcdEndpoint) throws {
        let client = GRPCClient(transport: try EtcdTransport.make(endpoint))
        self.client = client
        keys = Etcdserverpb_KV.Client(wrapping: client)
        work = Task { try await client.runConnections() }
    }

    func put(_ key: String, _ value: [UInt8]) async throws { try await put(key, value, within: nil) }

    func put(_ key: String, _ value: [UInt8], within limit: Duration?) async throws {
        var request = Etcdserverpb_PutRequest()
        request.key = name(key)
        request.value = Data(value)
        var options = CallOptions.defaults
        options.timeout = limit
        _ = try await keys.put(request, options: options)
    }

    func replace(_ key: String, _ value: [UInt8], at revision: Int64) async throws -> Int64 {
        var compare = Etcdserverpb_Compare()
        compare.target = .mod
        compare.key = name(key)
        compare.modRevision = revision
        var put = Etcdserverpb_PutRequest()
        put.key = name(key)
        put.value = Data(value)
        var operation = Etcdserverpb_RequestOp()
        operation.requestPut = put
        var request = Etcdserverpb_TxnRequest()
        request.compare = [compare]
        request.success = [operation]
        let response = try await keys.txn(request)
        guard response.succeeded else { throw CoveyError(.conflict, "\(key) has another revision") }
        return response.header.revision
    }

    func get(_ key: String) async throws -> Int64 {
        var request = Etcdserverpb_RangeRequest()
        request.key = name(key)
        return try await keys.range(request).kvs.first?.modRevision ?? 0
    }

    func range(_ prefix: String) async throws -> Int {
        var request = Etcdserverpb_RangeRequest()
        request.key = name(prefix)
        request.rangeEnd = name(prefix.dropLast() + "0")
        return try await keys.range(request).kvs.count { $0.value.count == 1200 }
    }

    /// Follows a key until it is cancelled; `event` is called for each response with events.
    func watch(_ key: String, from revision: Int64, _ event: @escaping @Sendable () -> Void) async throws {
        var create = Etcdserverpb_WatchCreateRequest()
        create.key = name(key)
        create.startRevision = revision
        var first = Etcdserverpb_WatchRequest()
        first.createRequest = create
        let request = first
        try await Etcdserverpb_Watch.Client(wrapping: client).watch { writer in
            try await writer.write(request)
            // The stream stays open as long as this does not return.
            try await Task.sleep(for: .seconds(3600))
        } onResponse: { response in
            for try await message in response.messages where !message.events.isEmpty { event() }
        }
    }

    func close() async throws {
        client.beginGracefulShutdown()
        work.cancel()
    }

    private func name(_ key: some StringProtocol) -> Data { Data("bare/\(key)".utf8) }
}
