internal import CoveyAPI
package import CoveyModel
internal import FoundationEssentials
internal import GRPCCore

/// Where a kernel is imported from.
package enum KernelImport: Sendable {
    /// Debian's cloud kernel.
    case debian
    /// An entry of a catalog.
    case catalog(CatalogReference)
    /// A file: its name, and what waits for its next bytes; with a tar archive of its modules where given.
    case file(
        name: String, bytes: @Sendable () async throws -> [UInt8]?, modules: (@Sendable () async throws -> [UInt8]?)?)
}

extension CoveyClient {
    /// Asks for an image; without a name it is made from the source. An empty suite is the daemon's choice.
    package func buildImage(
        _ source: ImageSpec.Source, name: String? = nil, labels: [String: String] = [:],
        requestID: String = requestID()
    ) async throws -> Mutation<Image> {
        var message = Covey_V1_BuildImageRequest()
        message.tenant = tenant
        message.requestID = requestID
        if let name { message.name = name }
        message.source = Covey_V1_ImageSource(source)
        message.labels = labels
        let request = message
        return try await repeatable {
            let answer = try await images.build(request, options: options)
            return Mutation(subject: try Image(answer.image), operation: try Operation(answer.operation))
        }
    }

    /// An image by name or id.
    package func image(_ name: String) async throws -> Image {
        var message = Covey_V1_GetImageRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        return try await repeatable { try Image(try await images.get(request, options: options)) }
    }

    /// All images, by name.
    package func listImages() async throws -> [Image] {
        try await pages { token in
            var message = Covey_V1_ListImagesRequest()
            message.tenant = tenant
            message.pageToken = token
            let answer = try await images.list(message, options: options)
            return (
                try answer.items.converted { item throws(CoveyError) in try Image(item) }, answer.nextPageToken
            )
        }
    }

    /// Asks for an image to be deleted.
    package func deleteImage(_ name: String, requestID: String = requestID()) async throws -> Mutation<Image> {
        var message = Covey_V1_DeleteImageRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        let request = message
        return try await repeatable {
            let answer = try await images.delete(request, options: options)
            return Mutation(subject: try Image(answer.image), operation: try Operation(answer.operation))
        }
    }

    /// Asks for a kernel; a file's bytes are streamed. `isDefault` makes it the kernel of machines that name none.
    package func importKernel(
        _ source: KernelImport, name: String? = nil, isDefault: Bool = true, requestID: String = requestID()
    ) async throws -> Mutation<Kernel> {
        var header = Covey_V1_ImportKernelHeader()
        header.tenant = tenant
        header.requestID = requestID
        if let name { header.name = name }
        header.isDefault = isDefault
        switch source {
        case .debian: header.debian = true
        case .catalog(let entry): header.catalog = Covey_V1_CatalogReference(entry)
        case .file(let file, _, _): header.file = file
        }
        var message = Covey_V1_ImportKernelRequest()
        message.header = header
        let first = message
        // A stream cannot be sent twice, so this call is not repeated.
        return try await once {
            let answer = try await kernels.importKernel(options: streamOptions) { writer in
                try await writer.write(first)
                guard case .file(_, let bytes, let modules) = source else { return }
                while let part = try await bytes() {
                    var message = Covey_V1_ImportKernelRequest()
                    message.file = Data(part)
                    try await writer.write(message)
                }
                guard let modules else { return }
                while let part = try await modules() {
                    var message = Covey_V1_ImportKernelRequest()
                    message.modules = Data(part)
                    try await writer.write(message)
                }
            }
            return Mutation(subject: try Kernel(answer.kernel), operation: try Operation(answer.operation))
        }
    }

    /// A kernel by name or id.
    package func kernel(_ name: String) async throws -> Kernel {
        var message = Covey_V1_GetKernelRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        return try await repeatable { try Kernel(try await kernels.get(request, options: options)) }
    }

    /// All kernels, by name.
    package func listKernels() async throws -> [Kernel] {
        try await pages { token in
            var message = Covey_V1_ListKernelsRequest()
            message.tenant = tenant
            message.pageToken = token
            let answer = try await kernels.list(message, options: options)
            return (
                try answer.items.converted { item throws(CoveyError) in try Kernel(item) }, answer.nextPageToken
            )
        }
    }

    /// Asks for a kernel to be deleted.
    package func deleteKernel(_ name: String, requestID: String = requestID()) async throws -> Mutation<Kernel> {
        var message = Covey_V1_DeleteKernelRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        let request = message
        return try await repeatable {
            let answer = try await kernels.delete(request, options: options)
            return Mutation(subject: try Kernel(answer.kernel), operation: try Operation(answer.operation))
        }
    }

    /// Makes a kernel that of machines that name none.
    package func setDefaultKernel(_ name: String, requestID: String = requestID()) async throws -> Kernel {
        var message = Covey_V1_SetDefaultKernelRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        let request = message
        return try await repeatable { try Kernel(try await kernels.setDefault(request, options: options)) }
    }
}
