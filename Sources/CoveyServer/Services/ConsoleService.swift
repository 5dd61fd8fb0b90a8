package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

/// `covey.v1.Consoles`.
package struct ConsoleService: Covey_V1_Consoles.SimpleServiceProtocol {
    private static let usual: Int64 = 64 << 10
    private static let longestName = 128

    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func open(
        request: RPCAsyncSequence<Covey_V1_ConsoleRequest, any Error>, response: RPCWriter<Covey_V1_ConsoleResponse>,
        context call: ServerContext
    ) async throws {
        let reader = RequestReader(request)
        guard case .start(let start) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of a console is not its start")
        }
        guard !start.readOnly || !start.take else {
            throw CoveyError(.invalid, "who only reads takes nothing", remedy: "leave out read_only or take")
        }
        guard !start.name.isEmpty else { throw CoveyError(.invalid, "the request names no vm") }
        let machine = try await context.repositories.machines.get(try Tenant(named: start.tenant), start.name)
        let query = ConsoleQuery(
            readOnly: start.readOnly, takes: start.take,
            recent: start.hasRecent ? max(0, start.recent) : ConsoleService.usual, who: ConsoleService.plain(start.who))
        let input = ConsoleInputs {
            guard let message = try await reader.next() else { return nil }
            guard case .input(let bytes) = message.request else {
                throw CoveyError(.invalid, "a later message of a console is no input")
            }
            return [UInt8](bytes)
        }
        let node = machine.status.node ?? context.settings.node
        try await context.gateway.console(on: node, machine, query, input: input) { output in
            try await response.write(Covey_V1_ConsoleResponse(output))
        }
    }

    /// What others see on their terminals: nothing that a terminal would obey.
    private static func plain(_ text: String) -> String {
        let shown = text.unicodeScalars.filter { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }
        let name = String(String.UnicodeScalarView(shown.prefix(longestName)))
        return name.isEmpty ? "somebody" : name
    }
}
