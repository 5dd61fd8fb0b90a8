package import CoveyAPI
internal import FoundationEssentials
package import GRPCCore

/// `grpc.reflection.v1.ServerReflection`. Source: gRPC's server reflection protocol.
package struct ReflectionService: Grpc_Reflection_V1_ServerReflection.SimpleServiceProtocol {
    private let descriptors: APIDescriptors

    /// The service over what the API consists of.
    package init(_ descriptors: APIDescriptors) { self.descriptors = descriptors }

    package func serverReflectionInfo(
        request: RPCAsyncSequence<Grpc_Reflection_V1_ServerReflectionRequest, any Error>,
        response: RPCWriter<Grpc_Reflection_V1_ServerReflectionResponse>, context: ServerContext
    ) async throws {
        for try await question in request {
            var answer = Grpc_Reflection_V1_ServerReflectionResponse()
            answer.validHost = question.host
            answer.originalRequest = question
            answer.messageResponse = self.answer(question)
            try await response.write(answer)
        }
    }

    private func answer(
        _ question: Grpc_Reflection_V1_ServerReflectionRequest
    ) -> Grpc_Reflection_V1_ServerReflectionResponse.OneOf_MessageResponse {
        switch question.messageRequest {
        case .fileByFilename(let name): return files(descriptors.file(name), name)
        case .fileContainingSymbol(let symbol): return files(descriptors.file(declaring: symbol), symbol)
        case .fileContainingExtension(let wanted): return missing("extensions of \(wanted.containingType)")
        case .allExtensionNumbersOfType(let type):
            guard descriptors.file(declaring: type) != nil else { return missing(type) }
            var numbers = Grpc_Reflection_V1_ExtensionNumberResponse()
            numbers.baseTypeName = type
            return .allExtensionNumbersResponse(numbers)
        case .listServices:
            var list = Grpc_Reflection_V1_ListServiceResponse()
            list.service = descriptors.services.map { name in
                var service = Grpc_Reflection_V1_ServiceResponse()
                service.name = name
                return service
            }
            return .listServicesResponse(list)
        case nil:
            var error = Grpc_Reflection_V1_ErrorResponse()
            error.errorCode = Int32(Status.Code.invalidArgument.rawValue)
            error.errorMessage = "the question is empty or not known"
            return .errorResponse(error)
        }
    }

    private func files(
        _ files: [[UInt8]]?, _ name: String
    ) -> Grpc_Reflection_V1_ServerReflectionResponse.OneOf_MessageResponse {
        guard let files else { return missing(name) }
        var answer = Grpc_Reflection_V1_FileDescriptorResponse()
        answer.fileDescriptorProto = files.map { Data($0) }
        return .fileDescriptorResponse(answer)
    }

    private func missing(_ name: String) -> Grpc_Reflection_V1_ServerReflectionResponse.OneOf_MessageResponse {
        var error = Grpc_Reflection_V1_ErrorResponse()
        error.errorCode = Int32(Status.Code.notFound.rawValue)
        error.errorMessage = "\(name) is not known"
        return .errorResponse(error)
    }
}
