package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
internal import FoundationEssentials
package import GRPCCore
internal import SwiftProtobuf

/// `covey.v1.System`.
package struct SystemService: Covey_V1_System.SimpleServiceProtocol {
    private static let chunk = 256 << 10
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func backup(
        request: Covey_V1_BackupRequest, response: RPCWriter<Covey_V1_BackupResponse>, context call: ServerContext
    ) async throws {
        let snapshot = try await StoreSnapshot(
            of: context.repositories.store, node: "\(context.settings.node)",
            instance: context.settings.version.instance)
        var waiting: [UInt8] = []
        try await snapshot.encoded { bytes in
            waiting += bytes
            while waiting.count >= SystemService.chunk {
                let part = waiting.prefix(SystemService.chunk)
                try await response.write(.with { $0.data = Data(part) })
                waiting.removeFirst(part.count)
            }
        }
        let rest = waiting
        try await response.write(.with { $0.data = Data(rest) })
    }
}
