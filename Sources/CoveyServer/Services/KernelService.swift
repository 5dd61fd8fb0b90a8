package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import FoundationEssentials
package import GRPCCore

/// `covey.v1.Kernels`.
package struct KernelService: Covey_V1_Kernels.SimpleServiceProtocol {
    private static let debian = "debian"

    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func importKernel(
        request: RPCAsyncSequence<Covey_V1_ImportKernelRequest, any Error>, context call: ServerContext
    ) async throws -> Covey_V1_KernelMutation {
        let reader = RequestReader(request)
        guard case .header(let header) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of an import is not its header")
        }
        switch header.source {
        case .debian:
            return try await create(header, name: KernelService.debian, source: KernelService.debian)
        case .file(let path):
            let file = path.split(separator: "/").last.map { String($0) } ?? path
            guard !file.isEmpty, file.utf8.count <= 255 else {
                throw CoveyError(.invalid, "the file to import has no name, or one longer than 255 bytes")
            }
            let name = try header.hasName ? header.name : KernelService.name(file: file)
            try Names.checkKernel(name)
            return try await spool(header, name: name, file: file, reader)
        case .catalog(let message):
            let reference = CatalogReference(message)
            let entry = try await CatalogPull(context).kernel(reference)
            return try await create(
                header, name: entry.name, source: CatalogPull.source(entry, insecure: reference.insecure))
        case nil:
            throw CoveyError(.invalid, "the import names no source", remedy: "use debian or a file")
        }
    }

    package func get(request: Covey_V1_GetKernelRequest, context call: ServerContext) async throws -> Covey_V1_Kernel {
        Covey_V1_Kernel(try await kernel(request.tenant, request.name))
    }

    package func list(
        request: Covey_V1_ListKernelsRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListKernelsResponse {
        let listing = try await context.repositories.kernels.list(try Tenant(named: request.tenant))
        let page = try Page(listing.items, size: request.pageSize, token: request.pageToken) { $0.metadata.name }
        var response = Covey_V1_ListKernelsResponse()
        response.items = page.items.map { Covey_V1_Kernel($0) }
        response.nextPageToken = page.next
        return response
    }

    package func delete(
        request: Covey_V1_DeleteKernelRequest, context call: ServerContext
    ) async throws -> Covey_V1_KernelMutation {
        let kernel = try await kernel(request.tenant, request.name)
        let id = kernel.metadata.id
        let users = try await context.repositories.machines.list().items.filter { $0.spec.kernelID == id }
        if let user = users.first {
            throw CoveyError(
                .conflict, "kernel \(kernel.metadata.name) is used by \(users.count) vm, such as \(user.metadata.name)",
                remedy: "remove them first: covey vm rm \(user.metadata.name)",
                resource: ResourceReference("kernel", kernel.metadata.name))
        }
        let removed = try await context.repositories.kernels.requestRemoval(
            id, node: context.settings.node, requestID: context.requestID(request.requestID))
        return mutation(removed.kernel, removed.operation)
    }

    package func setDefault(
        request: Covey_V1_SetDefaultKernelRequest, context call: ServerContext
    ) async throws -> Covey_V1_Kernel {
        let kernel = try await kernel(request.tenant, request.name)
        return Covey_V1_Kernel(try await context.repositories.kernels.setDefault(kernel.metadata.id))
    }

    /// The release that a file's name says, as Debian names its packages; else the name itself.
    static func name(file: String) throws(CoveyError) -> String {
        var name = file
        for ending in [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"] where name.hasSuffix(ending) {
            name.removeLast(ending.count)
        }
        if name.hasSuffix(".deb") {
            name = String(name.prefix { $0 != "_" })
            for prefix in ["linux-image-unsigned-", "linux-image-"] where name.hasPrefix(prefix) {
                name.removeFirst(prefix.count)
            }
        }
        for prefix in ["vmlinuz-", "vmlinux-", "bzImage-"] where name.hasPrefix(prefix) && name.count > prefix.count {
            name.removeFirst(prefix.count)
        }
        try Names.checkKernel(name)
        return name
    }

    private func spool(
        _ header: Covey_V1_ImportKernelHeader, name: String, file: String,
        _ reader: RequestReader<Covey_V1_ImportKernelRequest>
    ) async throws -> Covey_V1_KernelMutation {
        let node = context.settings.node
        let gateway = context.gateway
        let token = try await context.bounded("opening a file on the node") { gateway in
            try await gateway.openSpool(on: node, name: file)
        }
        do {
            while let message = try await reader.next() {
                switch message.request {
                case .file(let data): try await gateway.append(on: node, to: token, .kernel, [UInt8](data))
                case .modules(let data): try await gateway.append(on: node, to: token, .modules, [UInt8](data))
                case .header, nil: throw CoveyError(.invalid, "a later message of an import has no bytes")
                }
            }
            try await gateway.finishSpool(on: node, token)
            return try await create(header, name: name, source: token.description)
        } catch {
            do {
                try await context.bounded("removing a file on the node") { gateway in
                    try await gateway.discardSpool(on: node, token)
                }
            } catch let second {
                throw CoveyError.wrapping(error).with(context: CoveyError.wrapping(second).message)
            }
            throw error
        }
    }

    private func create(
        _ header: Covey_V1_ImportKernelHeader, name: String, source: String
    ) async throws -> Covey_V1_KernelMutation {
        let name = header.hasName ? header.name : name
        try Names.checkKernel(name)
        let tenant = try Tenant(named: header.tenant)
        let first = try await context.repositories.kernels.getDefault(tenant) == nil
        do {
            let made = try await context.repositories.kernels.create(
                tenant, name: name,
                spec: KernelSpec(
                    source: source, isDefault: header.isDefault || first, architecture: context.settings.architecture),
                node: context.settings.node, requestID: context.requestID(header.requestID))
            return mutation(made.kernel, made.operation)
        } catch var error as CoveyError where error.code == .conflict && error.remedy == nil {
            error.remedy = "use another --name, or remove it first: covey kernel rm \(name)"
            throw error
        }
    }

    private func kernel(_ tenant: String, _ name: String) async throws -> Kernel {
        guard !name.isEmpty else { throw CoveyError(.invalid, "the request names no kernel") }
        return try await context.repositories.kernels.get(try Tenant(named: tenant), name)
    }

    private func mutation(_ kernel: Kernel, _ operation: Operation) -> Covey_V1_KernelMutation {
        var answer = Covey_V1_KernelMutation()
        answer.kernel = Covey_V1_Kernel(kernel)
        answer.operation = Covey_V1_Operation(operation)
        return answer
    }
}
