internal import CoveyAPI
internal import CoveyModel
internal import CoveyStore

/// Finds the image and the kernel that a request means.
struct MachineResolution: Sendable {
    private static let builtIn = "busybox"

    let context: ServiceContext

    init(_ context: ServiceContext) { self.context = context }

    /// The spec that a request means. The built-in image is asked for where it is not there yet.
    func resolve(_ request: MachineRequest, tenant: Tenant, requestID: String) async throws -> MachineSpec {
        var spec = try context.validation.spec(request)
        let facts = try await facts()
        try context.validation.check(driver: spec.driver, accel: spec.accel, facts: facts?.drivers ?? [])
        // An entry of a catalog brings its kernel; of all else nothing is made before there is a kernel.
        var early: Image?
        if CatalogPull(context).entry(named: request.image) != nil {
            early = try await image(request.image, tenant: tenant, requestID: requestID)
        }
        var wanted = request.kernel ?? early?.spec.kernel
        if wanted == nil, early == nil { wanted = try await kernelName(of: request.image, tenant: tenant) }
        let kernel = try await kernel(wanted, tenant: tenant)
        var found = early
        if found == nil { found = try await self.image(request.image, tenant: tenant, requestID: requestID) }
        guard let image = found else { throw CoveyError.notFound("image", request.image) }
        try await checkPlace(image)
        try context.validation.check(disk: request.disk, image: image)
        try check(image.spec.architecture, of: ResourceReference("image", image.metadata.name))
        try check(kernel.spec.architecture, of: ResourceReference("kernel", kernel.metadata.name))
        spec.networks = try await networks(request, tenant: tenant)
        try await checkFree(spec.ports)
        spec.volumes = try await volumes(spec.volumes, tenant: tenant)
        spec.imageID = image.metadata.id
        spec.kernelID = kernel.metadata.id
        return spec
    }

    /// A name for a machine without one: the image's, and what tells it from others.
    static func name(image: String, requestID: String) throws(CoveyError) -> String {
        let last = image.split(separator: "/").last.map { String($0) } ?? image
        let stem = last.split(whereSeparator: { $0 == ":" || $0 == "@" }).first.map { String($0) } ?? last
        let letters = stem.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
        let label = String(letters).drop { $0 == "-" }.prefix(40)
        // FNV-1a: the same request gets the same name again.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in requestID.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let tail = String(hash & 0xFFFF_FFFF, radix: 36)
        let name = "\(label.isEmpty ? "vm" : label)-\(tail)"
        try Names.checkLabel(name, kind: "vm")
        return name
    }

    private func facts() async throws -> NodeStatus? {
        do {
            return try await context.repositories.nodes.get(context.settings.node).status
        } catch let error as CoveyError where error.code == .notFound {
            // The agent has not looked at the host yet; it refuses by itself what cannot run.
            return nil
        }
    }

    private func image(_ name: String, tenant: Tenant, requestID: String) async throws -> Image {
        let images = context.repositories.images
        do {
            return try usable(try await images.get(tenant, name))
        } catch let error as CoveyError where error.code == .notFound {
            if name == MachineResolution.builtIn {
                return try await makeBuiltIn(tenant: tenant, requestID: requestID)
            }
            let pull = CatalogPull(context)
            if let entry = pull.entry(named: name) {
                return try await pull.image(
                    entry, tenant: tenant, name: name, labels: [:], requestID: "\(requestID)/image"
                ).image
            }
            // `debian:bookworm` is also what `covey image build debian` made.
            if let stem = name.split(separator: ":").first.map({ String($0) }), stem != name,
                let twin = try await images.list(tenant).items.first(where: { $0.metadata.name == stem }),
                case .debian(let suite, _) = twin.spec.source, name == "\(stem):\(suite)"
            {
                return try usable(twin)
            }
            if let written = try? ImageReference(name).familiar, written != name,
                let pulled = try await images.list(tenant).items.first(where: { $0.metadata.name == written })
            {
                return try usable(pulled)
            }
            guard name == "debian" || name.hasPrefix("debian:") else {
                throw CoveyError.notFound("image", name, remedy: "fetch it: covey image pull \(name)")
            }
            let build = name == "debian" || name.hasPrefix("debian:") ? name : "debian"
            throw CoveyError.notFound("image", name, remedy: "build it: covey image build \(build)")
        }
    }

    /// The kernel that an image is made for; nil where it says nothing or is not there yet.
    private func kernelName(of image: String, tenant: Tenant) async throws -> String? {
        do { return try await context.repositories.images.get(tenant, image).spec.kernel } catch let error as CoveyError
            where error.code == .notFound || error.code == .conflict
        { return nil }
    }

    private func usable(_ image: Image) throws -> Image {
        let name = image.metadata.name
        switch image.status.state {
        case .ready, .pending, .building: return image
        case .failed:
            throw CoveyError(
                .conflict, "image \(name) could not be made: \(image.status.lastError?.message ?? "unknown reason")",
                remedy: "remove it (covey image rm \(name)) and build it again",
                resource: ResourceReference("image", name))
        case .deleting:
            throw CoveyError(
                .conflict, "image \(name) is being deleted", resource: ResourceReference("image", name))
        }
    }

    private func makeBuiltIn(tenant: Tenant, requestID: String) async throws -> Image {
        let images = context.repositories.images
        do {
            return try await images.create(
                tenant, name: MachineResolution.builtIn,
                spec: ImageSpec(source: .builtIn, architecture: context.settings.architecture),
                node: context.settings.node, requestID: "\(requestID)/image"
            ).image
        } catch let error as CoveyError where error.code == .conflict {
            // Another request made it at the same time.
            return try usable(try await images.get(tenant, MachineResolution.builtIn))
        }
    }

    private func kernel(_ name: String?, tenant: Tenant) async throws -> Kernel {
        let kernels = context.repositories.kernels
        guard let name else { return try await defaultKernel(tenant) }
        do {
            let kernel = try await kernels.get(tenant, name)
            guard kernel.status.state.isUsable else {
                throw CoveyError(
                    .conflict, "kernel \(name) is \(kernel.status.state.rawValue)",
                    remedy: "see why: covey kernel inspect \(name)", resource: ResourceReference("kernel", name))
            }
            guard kernel.isObtainable(on: context.settings.node) else {
                throw CoveyError.elsewhere(
                    "kernel", name, node: try await context.repositories.nodes.name(of: kernel.status.node))
            }
            return kernel
        } catch let error as CoveyError where error.code == .notFound {
            throw CoveyError.notFound(
                "kernel", name,
                remedy: "see which there are (covey kernel ls), or import one: covey kernel import debian")
        }
    }

    /// The default, or where it was removed or failed, or only another node has it, the newest that can be used.
    private func defaultKernel(_ tenant: Tenant) async throws -> Kernel {
        let kernels = context.repositories.kernels
        let node = context.settings.node
        let standard = try await kernels.getDefault(tenant)
        if let standard, standard.status.state.isUsable, standard.isObtainable(on: node) { return standard }
        let all = try await kernels.list(tenant).items.filter { $0.isObtainable(on: node) }
        let newest = all.filter { $0.status.state == .ready }.max { $0.metadata.createdAt < $1.metadata.createdAt }
        guard let newest else {
            if let standard, !standard.isObtainable(on: node) {
                throw CoveyError.elsewhere(
                    "kernel", standard.metadata.name,
                    node: try await context.repositories.nodes.name(of: standard.status.node))
            }
            throw CoveyError(
                .notFound, "there is no kernel to boot", remedy: "import one: covey kernel import debian",
                resource: ResourceReference("kernel", "default"))
        }
        return newest
    }

    /// Errors: ``ErrorCode/conflict`` where only another node has it.
    private func checkPlace(_ image: Image) async throws {
        guard !image.isObtainable(on: context.settings.node) else { return }
        throw CoveyError.elsewhere(
            "image", image.metadata.name, node: try await context.repositories.nodes.name(of: image.status.node))
    }

    private func check(_ architecture: Architecture, of resource: ResourceReference) throws {
        guard architecture != context.settings.architecture else { return }
        throw CoveyError(
            .unsupported,
            "\(resource) is for \(architecture.rawValue), and this node is \(context.settings.architecture.rawValue)",
            resource: resource)
    }
}

extension ArtifactState {
    /// Whether a machine may be made from it; one that is being made is waited for by the node.
    fileprivate var isUsable: Bool {
        switch self {
        case .ready, .pending, .building: true
        case .failed, .deleting: false
        }
    }
}
