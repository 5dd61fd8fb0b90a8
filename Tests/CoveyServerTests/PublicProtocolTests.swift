import CoveyAPI
import CoveyModel
import CoveyServer
import GRPCCore
import GRPCInProcessTransport
import Logging
import SwiftProtobuf
import Testing

@Suite struct PublicProtocolTests {
    /// Health and reflection through the whole chain, within this process.
    private func with(
        authorizer: any Authorizer = SocketAuthorizer(),
        _ body: @escaping @Sendable (GRPCClient<InProcessTransport.Client>, TestServer) async throws -> Void
    ) async throws {
        let test = try await TestServer(
            folder: "/tmp/cvy-api-none", limit: RateLimit(), authorizer: authorizer)
        let transport = InProcessTransport()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await test.server.run(transport: transport.server, as: Caller(uid: 0)) }
            try await withGRPCClient(transport: transport.client) { client in try await body(client, test) }
            test.server.beginShutdown()
            try await group.waitForAll()
        }
    }

    @Test("health says that all services serve, and not found for others")
    func health() async throws {
        try await with { client, _ in
            let health = Grpc_Health_V1_Health.Client(wrapping: client)
            for service in ["", "covey.v1.VirtualMachines", "grpc.health.v1.Health"] {
                var request = Grpc_Health_V1_HealthCheckRequest()
                request.service = service
                let status = try await health.check(request).status
                #expect(status == .serving)
            }
            var request = Grpc_Health_V1_HealthCheckRequest()
            request.service = "nobody"
            let unknown = request
            do {
                _ = try await health.check(unknown)
                Issue.record("there is no such service")
            } catch let error as RPCError {
                #expect(error.code == .notFound)
            }
        }
    }

    /// Lets nobody do anything, so that no method gets further than the chain.
    private struct NobodyMay: Authorizer {
        func authorize(_ caller: Caller, _ permission: Permission, tenant: Tenant?) async throws {
            throw CoveyError(.denied, tenant == nil ? "no tenant" : "a tenant")
        }
    }

    @Test("the first message of every method of a tenant says which tenant's it is")
    func tenants() async throws {
        struct Plain: MessageSerializer, MessageDeserializer {
            func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
            func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
                bytes.withUnsafeBytes { Array($0) }
            }
        }
        let methods = MethodRules.table.filter { if case .tenant = $0.value { true } else { false } }.keys.sorted()
        #expect(methods.count > 40)
        try await with(authorizer: NobodyMay()) { client, _ in
            for method in methods {
                let parts = method.split(separator: "/").map { String($0) }
                let descriptor = MethodDescriptor(fullyQualifiedService: parts[0], method: parts[1])
                let request = StreamingClientRequest(of: [UInt8].self) { try await $0.write([]) }
                do {
                    try await client.bidirectionalStreaming(
                        request: request, descriptor: descriptor, serializer: Plain(), deserializer: Plain(),
                        options: .defaults
                    ) { response in
                        for try await _ in response.messages { break }
                    }
                    Issue.record("\(method) was not denied")
                } catch let error as RPCError {
                    #expect(error.code == .permissionDenied, "\(method): \(error.message)")
                    #expect(error.message.contains("a tenant"), "\(method): \(error.message)")
                }
            }
        }
    }

    @Test("a watch of health sees each change")
    func healthWatch() async throws {
        let status = HealthStatus(services: ["a"])
        let service = HealthService(status)
        let transport = InProcessTransport()
        let chain = CallChain(
            callers: .fixed(Caller(uid: 0)), authorizer: SocketAuthorizer(), limit: RateLimit(), elapsed: { .zero },
            shutdown: ShutdownSignal(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withGRPCServer(transport: transport.server, services: [service], interceptors: [chain]) { _ in
            try await withGRPCClient(transport: transport.client) { client in
                let health = Grpc_Health_V1_Health.Client(wrapping: client)
                var request = Grpc_Health_V1_HealthCheckRequest()
                request.service = "a"
                try await health.watch(request) { response in
                    var seen: [Grpc_Health_V1_HealthCheckResponse.ServingStatus] = []
                    for try await answer in response.messages {
                        seen.append(answer.status)
                        if seen.count == 1 { status.set(serving: false) }
                        if seen.count == 2 { break }
                    }
                    #expect(seen == [.serving, .notServing])
                }
            }
        }
    }

    @Test("reflection lists all services and gives the file of each symbol with what it depends on")
    func reflection() async throws {
        try await with { client, _ in
            let reflection = Grpc_Reflection_V1_ServerReflection.Client(wrapping: client)
            var list = Grpc_Reflection_V1_ServerReflectionRequest()
            list.listServices = "*"
            var symbol = Grpc_Reflection_V1_ServerReflectionRequest()
            symbol.fileContainingSymbol = "covey.v1.VirtualMachines.Create"
            var file = Grpc_Reflection_V1_ServerReflectionRequest()
            file.fileByFilename = "covey/v1/images.proto"
            var missing = Grpc_Reflection_V1_ServerReflectionRequest()
            missing.fileContainingSymbol = "nobody"
            let questions = [list, symbol, file, missing]
            let answers = try await reflection.serverReflectionInfo { writer in
                for question in questions { try await writer.write(question) }
            } onResponse: { response in
                var answers: [Grpc_Reflection_V1_ServerReflectionResponse] = []
                for try await answer in response.messages { answers.append(answer) }
                return answers
            }
            #expect(answers.count == 4)
            let services = answers[0].listServicesResponse.service.map(\.name)
            #expect(services.contains("covey.v1.VirtualMachines"))
            #expect(services.contains("grpc.health.v1.Health"))
            #expect(services.count == 16)
            let files = try answers[1].fileDescriptorResponse.fileDescriptorProto.map {
                try Google_Protobuf_FileDescriptorProto(serializedBytes: $0).name
            }
            #expect(files.first == "covey/v1/virtual_machines.proto")
            #expect(files.contains("google/protobuf/timestamp.proto"))
            #expect(answers[2].fileDescriptorResponse.fileDescriptorProto.count == 5)
            #expect(answers[3].errorResponse.errorCode == Int32(Status.Code.notFound.rawValue))
        }
    }
}
