package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
package import GRPCCore

/// Images of files that callers send, of machines, and of catalogs.
extension ImageService {
    private static var longestName: Int { 255 }

    package func register(
        request: RPCAsyncSequence<Covey_V1_RegisterImageRequest, any Error>, context call: ServerContext
    ) async throws -> Covey_V1_ImageMutation {
        let reader = RequestReader(request)
        guard case .header(let header) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of an image is not its header")
        }
        let file = header.file.split(separator: "/").last.map { String($0) } ?? header.file
        guard !file.isEmpty, file.utf8.count <= ImageService.longestName else {
            throw CoveyError(
                .invalid, "the file to register has no name, or one longer than \(ImageService.longestName) bytes")
        }
        let choices = ImageChoices(header.choices)
        try choices.check()
        let tenant = try Tenant(named: header.tenant)
        try await check(name: header.name, labels: header.labels, tenant, requestID: header.requestID)
        let node = context.settings.node
        let gateway = context.gateway
        let token = try await context.bounded("opening a file on the node") { gateway in
            try await gateway.openSpool(on: node, name: file)
        }
        do {
            while let message = try await reader.next() {
                switch message.request {
                case .file(let data): try await gateway.append(on: node, to: token, .image, [UInt8](data))
                case .zeros(let count): try await gateway.appendZeros(on: node, to: token, .image, count)
                case .header, nil: throw CoveyError(.invalid, "a later message of an image has no bytes")
                }
            }
            try await gateway.finishSpool(on: node, token)
            return try await create(
                header.name, .upload(name: token.name, token: token.token, choices: choices), tenant,
                labels: header.labels, requestID: header.requestID)
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

    package func promote(
        request: Covey_V1_PromoteImageRequest, context call: ServerContext
    ) async throws -> Covey_V1_ImageMutation {
        let tenant = try Tenant(named: request.tenant)
        guard !request.machine.isEmpty else { throw CoveyError(.invalid, "the request names no vm") }
        try await check(name: request.name, labels: request.labels, tenant, requestID: request.requestID)
        let machine = try await context.repositories.machines.get(tenant, request.machine)
        let name = machine.metadata.name
        guard machine.status.phase == .stopped || machine.status.phase == .failed, !machine.spec.deleting else {
            throw CoveyError(
                .conflict, "vm \(name) is \(machine.status.phase.rawValue)",
                remedy: "stop it first: covey vm stop \(name)", resource: ResourceReference("vm", name))
        }
        guard machine.status.runGeneration > 0, let imageID = machine.spec.imageID else {
            throw CoveyError(
                .conflict, "vm \(name) has no disk of its own yet: it was never started",
                remedy: "use its image, or start it once: covey vm start \(name)",
                resource: ResourceReference("vm", name))
        }
        let base = try await context.repositories.images.get(imageID)
        return try await create(
            request.name, .machine(id: machine.metadata.id, name: name, image: base.metadata.id), tenant,
            labels: request.labels, requestID: request.requestID, kernel: base.spec.kernel, node: machine.status.node)
    }

    package func pullEntry(
        request: Covey_V1_PullImageEntryRequest, context call: ServerContext
    ) async throws -> Covey_V1_ImageMutation {
        let entry = CatalogReference(request.entry)
        let name = request.hasName ? request.name : entry.description
        try Names.checkImage(name)
        try context.validation.check(labels: request.labels)
        let made = try await CatalogPull(context).image(
            entry, tenant: try Tenant(named: request.tenant), name: name, labels: request.labels,
            requestID: context.requestID(request.requestID))
        return mutation(made.image, made.operation)
    }

    /// Refuses early what would be refused after gigabytes: a bad name, or one that another image has.
    private func check(
        name: String, labels: [String: String], _ tenant: Tenant, requestID: String
    ) async throws {
        try Names.checkImage(name)
        try context.validation.check(labels: labels)
    }

    private func create(
        _ name: String, _ source: ImageSpec.Source, _ tenant: Tenant, labels: [String: String], requestID: String,
        kernel: String? = nil, node: NodeID? = nil
    ) async throws -> Covey_V1_ImageMutation {
        try await create(
            name, ImageSpec(source: source, architecture: context.settings.architecture, kernel: kernel), tenant,
            labels: labels, requestID: requestID, node: node)
    }

    /// - Parameter node: Where it is made; nil is this daemon's.
    func create(
        _ name: String, _ spec: ImageSpec, _ tenant: Tenant, labels: [String: String], requestID: String,
        node: NodeID? = nil
    ) async throws -> Covey_V1_ImageMutation {
        try Names.checkImage(name)
        try context.validation.check(labels: labels)
        do {
            let made = try await context.repositories.images.create(
                tenant, name: name, labels: labels, spec: spec,
                node: node ?? context.settings.node, requestID: context.requestID(requestID))
            return mutation(made.image, made.operation)
        } catch var error as CoveyError where error.code == .conflict && error.remedy == nil {
            error.remedy = "use another name, or remove it first: covey image rm \(name)"
            throw error
        }
    }
}
