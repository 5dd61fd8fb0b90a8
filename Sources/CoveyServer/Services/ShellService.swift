package import CoveyAPI
internal import CoveyModel
package import GRPCCore

/// `covey.v1.Shells`: ssh into machines.
package struct ShellService: Covey_V1_Shells.SimpleServiceProtocol {
    let machines: VirtualMachineService

    private var context: ServiceContext { machines.context }

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { machines = VirtualMachineService(context) }

    package func open(
        request: RPCAsyncSequence<Covey_V1_OpenShellRequest, any Error>, response: RPCWriter<Covey_V1_ExecResponse>,
        context call: ServerContext
    ) async throws {
        let reader = RequestReader(request)
        guard case .start(let start) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of a shell is not its start")
        }
        let access = ShellAccess(user: start.user.isEmpty ? "root" : start.user, keys: start.publicKeys)
        try access.check()
        let machine = try await machines.running(try await machines.machine(start.tenant, start.name))
        let input = ExecInputs {
            guard let message = try await reader.next() else { return nil }
            guard case .input(let input) = message.request else {
                throw CoveyError(.invalid, "a later message of a shell is no input")
            }
            return try ExecInput(input)
        }
        try await context.gateway.shell(
            on: machines.node(of: machine), machine, access, id: context.requestID(""), input: input
        ) { output in
            try await response.write(Covey_V1_ExecResponse(output))
        }
    }
}
