package import CoveyAPI
internal import CoveyModel
package import GRPCCore

/// `covey.v1.Streams`: files and connections of machines.
package struct StreamService: Covey_V1_Streams.SimpleServiceProtocol {
    /// Bytes of a path.
    private static let largestPath = 64 << 10

    private let context: ServiceContext
    private var machines: VirtualMachineService { VirtualMachineService(context) }

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func pack(
        request: Covey_V1_PackRequest, response: RPCWriter<Covey_V1_PackResponse>, context call: ServerContext
    ) async throws {
        try check(path: request.path)
        let machine = try await machines.running(try await machines.machine(request.tenant, request.name))
        let wish = PackWish(
            path: request.path, user: request.user.isEmpty ? nil : request.user, followsLink: request.followLink,
            isExact: request.exact)
        try await context.gateway.stream(on: machines.node(of: machine), machine, .pack(wish), input: { nil }) {
            piece in
            var message = Covey_V1_PackResponse()
            switch piece {
            case .bytes(let bytes): message.data = .init(bytes)
            case .note(let note): message.note = note
            case .end: return
            }
            try await response.write(message)
        }
    }

    package func unpack(
        request: RPCAsyncSequence<Covey_V1_UnpackRequest, any Error>, response: RPCWriter<Covey_V1_UnpackResponse>,
        context call: ServerContext
    ) async throws {
        let reader = RequestReader(request)
        guard case .start(let start) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of an unpack is not its start")
        }
        try check(path: start.path)
        let machine = try await machines.running(try await machines.machine(start.tenant, start.name))
        let wish = UnpackWish(
            path: start.path, user: start.user.isEmpty ? nil : start.user, isExact: start.exact,
            isPlainArchive: start.plainArchive)
        guard !(wish.isExact && wish.user != nil) else {
            throw CoveyError(.invalid, "owners cannot be kept where one user owns all", remedy: "leave out one of them")
        }
        let input = { @Sendable () async throws -> [UInt8]? in
            guard let message = try await reader.next() else { return nil }
            guard case .data(let data) = message.request else {
                throw CoveyError(.invalid, "a later message of an unpack is no data")
            }
            return [UInt8](data)
        }
        try await context.gateway.stream(on: machines.node(of: machine), machine, .unpack(wish), input: input) {
            piece in
            guard case .note(let note) = piece else { return }
            var message = Covey_V1_UnpackResponse()
            message.note = note
            try await response.write(message)
        }
    }

    package func dial(
        request: RPCAsyncSequence<Covey_V1_DialRequest, any Error>, response: RPCWriter<Covey_V1_DialResponse>,
        context call: ServerContext
    ) async throws {
        let reader = RequestReader(request)
        guard case .start(let start) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of a dial is not its start")
        }
        let endpoint = try endpoint(of: start)
        let machine = try await machines.running(try await machines.machine(start.tenant, start.name))
        let input = { @Sendable () async throws -> [UInt8]? in
            guard let message = try await reader.next() else { return nil }
            guard case .data(let data) = message.request else {
                throw CoveyError(.invalid, "a later message of a dial is no data")
            }
            return [UInt8](data)
        }
        try await context.gateway.stream(on: machines.node(of: machine), machine, .dial(endpoint), input: input) {
            piece in
            var message = Covey_V1_DialResponse()
            switch piece {
            case .bytes(let bytes): message.data = .init(bytes)
            case .end: message.end = true
            case .note: return
            }
            try await response.write(message)
        }
    }

    private func endpoint(of start: Covey_V1_DialStart) throws(CoveyError) -> GuestEndpoint {
        switch start.endpoint {
        case .port(let port):
            guard let port = UInt16(exactly: port), port > 0 else {
                throw CoveyError(.invalid, "there is no port \(start.port)", remedy: "ports are 1 to 65535")
            }
            return .port(port)
        case .socket(let path):
            try check(path: path)
            guard path.hasPrefix("/"), path.utf8.count < 108 else {
                throw CoveyError(.invalid, "\(path) is no absolute path of at most 107 bytes")
            }
            return .socket(path)
        case nil: throw CoveyError(.invalid, "the request names neither a port nor a socket")
        }
    }

    private func check(path: String) throws(CoveyError) {
        guard path.utf8.count <= StreamService.largestPath, !path.utf8.contains(0) else {
            throw CoveyError(.invalid, "the path is longer than 64 KiB or has a zero byte")
        }
    }
}
