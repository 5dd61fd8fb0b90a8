internal import CoveyAPI
package import CoveyModel
internal import GRPCCore

extension CoveyClient {
    /// An operation by id.
    package func operation(_ id: String) async throws -> Operation {
        var message = Covey_V1_GetOperationRequest()
        message.tenant = tenant
        message.id = id
        let request = message
        return try await repeatable { try Operation(try await operations.get(request, options: options)) }
    }

    /// All operations, oldest first.
    package func listOperations() async throws -> [Operation] {
        try await pages { token in
            var message = Covey_V1_ListOperationsRequest()
            message.tenant = tenant
            message.pageToken = token
            let answer = try await operations.list(message, options: options)
            return (
                try answer.items.converted { item throws(CoveyError) in try Operation(item) }, answer.nextPageToken
            )
        }
    }

    /// Tells `change` of an operation now and after each change, until it is over. Returns its last state.
    package func watchOperation(
        _ id: String, _ change: @escaping @Sendable (Operation) async throws -> Void = { _ in }
    ) async throws -> Operation {
        var message = Covey_V1_WatchOperationRequest()
        message.tenant = tenant
        message.id = id
        let request = message
        let last = try await once {
            try await operations.watch(request, options: streamOptions) { response -> Operation? in
                var last: Operation?
                for try await message in response.messages {
                    let operation = try Operation(message)
                    last = operation
                    try await change(operation)
                }
                return last
            }
        }
        guard let last, last.status.state.isFinal else {
            throw CoveyError(.unavailable, "the daemon ended the watch of operation \(id)")
        }
        return last
    }

    /// Waits until an operation has succeeded. Errors: the operation's own; ``ErrorCode/cancelled``.
    @discardableResult
    package func finish(
        _ operation: Operation, _ change: @escaping @Sendable (Operation) async throws -> Void = { _ in }
    ) async throws -> Operation {
        let last = try await watchOperation(operation.metadata.id.description, change)
        switch last.status.state {
        case .succeeded: return last
        case .cancelled:
            throw last.status.error ?? CoveyError(.cancelled, "the operation on \(last.spec.target) was cancelled")
        case .failed, .pending, .running:
            throw last.status.error ?? CoveyError(.failure, "the operation on \(last.spec.target) failed")
        }
    }

    /// Asks for an operation to be taken back.
    package func cancelOperation(_ id: String, requestID: String = requestID()) async throws -> Operation {
        var message = Covey_V1_CancelOperationRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.id = id
        let request = message
        return try await repeatable { try Operation(try await operations.cancel(request, options: options)) }
    }

    /// What the daemon says of itself.
    package func version() async throws -> DaemonVersion {
        try await repeatable {
            DaemonVersion(try await monitoring.version(Covey_V1_VersionRequest(), options: options))
        }
    }

    /// What its host is and can do.
    package func nodeFacts() async throws -> Node {
        try await repeatable { try Node(try await monitoring.nodeFacts(Covey_V1_NodeFactsRequest(), options: options)) }
    }

    /// All nodes of the daemon's store, by name.
    package func listNodes() async throws -> [Node] {
        try await pages { token in
            var message = Covey_V1_ListNodesRequest()
            message.pageToken = token
            let answer = try await monitoring.listNodes(message, options: options)
            return (try answer.items.converted { item throws(CoveyError) in try Node(item) }, answer.nextPageToken)
        }
    }

    /// What lies in quarantine.
    package func leaks() async throws -> [Leak] {
        try await repeatable {
            try await monitoring.leaks(Covey_V1_LeaksRequest(), options: options).items.map { Leak($0) }
        }
    }

    /// Removes one thing from quarantine.
    package func purgeLeak(_ id: String, requestID: String = requestID()) async throws {
        var message = Covey_V1_PurgeLeakRequest()
        message.requestID = requestID
        message.id = id
        let request = message
        _ = try await repeatable { try await monitoring.purgeLeak(request, options: options) }
    }
}
