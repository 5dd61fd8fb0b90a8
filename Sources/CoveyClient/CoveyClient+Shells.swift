internal import CoveyAPI
package import CoveyModel
internal import GRPCCore

extension CoveyClient {
    /// Runs an ssh server in a guest for one connection: `source` is what the client says, and standard output what the
    /// server does. It ends with this call.
    ///
    /// - Returns: How the server ended.
    package func shell(
        _ name: String, _ access: ShellAccess, source: ExecSource,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws -> ExecExit? {
        var start = Covey_V1_ShellStart()
        start.tenant = tenant
        start.name = name
        start.user = access.user
        start.publicKeys = access.keys
        var message = Covey_V1_OpenShellRequest()
        message.start = start
        let first = message
        let relay = Relay(source: source, output: output)
        return try await once {
            try await shells.open(options: streamOptions) { writer in
                try await writer.write(first)
                try await relay.feed { input in
                    var message = Covey_V1_OpenShellRequest()
                    message.input = Covey_V1_ExecInput(input)
                    try await writer.write(message)
                }
            } onResponse: { response in
                try await relay.receive(response, endless: true)
            }
        }
    }
}
