internal import CoveyModel
internal import CoveyStore

/// Asks for what catalogs offer.
///
/// `CATALOG/NAME` is an entry where a catalog of this name is configured; everything else is a registry's.
struct CatalogPull: Sendable {
    private let context: ServiceContext

    init(_ context: ServiceContext) { self.context = context }

    /// The entry that an image's name means; nil where no configured catalog is named.
    func entry(named name: String) -> CatalogReference? {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
        guard parts.count == 2, context.settings.catalogs.contains(parts[0]), !parts[1].isEmpty else { return nil }
        return CatalogReference(catalog: parts[0], name: parts[1])
    }

    /// What the catalogs offer, or one of them.
    func entries(of catalog: String?, insecure: Bool) async throws -> [CatalogEntry] {
        try await context.bounded("reading the catalogs") { [node = context.settings.node] gateway in
            try await gateway.catalogEntries(on: node, of: catalog, insecure: insecure)
        }
    }

    /// The entry of a kernel.
    func kernel(_ reference: CatalogReference) async throws -> CatalogEntry { try await find(reference, [.kernel]) }

    /// What a kernel's record says of an entry that it comes from.
    static func source(_ entry: CatalogEntry, insecure: Bool) -> String {
        (insecure ? KernelSpec.insecurePrefix : KernelSpec.catalogPrefix) + "\(entry.catalog)/\(entry.name)"
    }

    /// Asks for an image of an entry, and for its kernel where that is not there.
    func image(
        _ reference: CatalogReference, tenant: Tenant, name: String, labels: [String: String], requestID: String
    ) async throws -> (image: Image, operation: Operation?) {
        try Names.checkImage(name)
        if let there = try await present(reference, tenant, name) { return there }
        let entry = try await find(reference, [.image, .bundle])
        let kernels = context.repositories.kernels
        var missing: String?
        if let kernel = entry.kernel {
            try Names.checkKernel(kernel)
            let isThere = try await kernels.list(tenant).items.contains { $0.metadata.name == kernel }
            missing = isThere ? nil : kernel
            if missing != nil, entry.kind == .image {
                let other = try await self.kernel(
                    CatalogReference(catalog: entry.catalog, name: kernel, insecure: reference.insecure))
                try await makeKernel(
                    kernel, CatalogPull.source(other, insecure: reference.insecure), tenant, requestID)
                missing = nil
            }
        }
        let source = ImageSpec.Source.catalog(
            catalog: entry.catalog, name: entry.name, insecure: reference.insecure)
        let made: (image: Image, operation: Operation)
        do {
            made = try await context.repositories.images.create(
                tenant, name: name, labels: labels,
                spec: ImageSpec(source: source, architecture: entry.architecture, kernel: entry.kernel),
                node: context.settings.node, requestID: requestID)
        } catch let error as CoveyError where error.code == .conflict && error.remedy == nil {
            // Another request was faster.
            if let there = try await present(reference, tenant, name) { return there }
            throw error
        }
        if let missing {
            try await makeKernel(missing, "\(KernelSpec.imagePrefix)\(made.image.metadata.id)", tenant, requestID)
        }
        return made
    }

    /// The image that was made of this entry, or is on its way; nil where none has the name.
    private func present(
        _ reference: CatalogReference, _ tenant: Tenant, _ name: String
    ) async throws -> (image: Image, operation: Operation?)? {
        let images = try await context.repositories.images.list(tenant).items
        guard let image = images.first(where: { $0.metadata.name == name }) else { return nil }
        guard case .catalog(let catalog, let entry, _) = image.spec.source, catalog == reference.catalog,
            entry == reference.name
        else {
            throw CoveyError(
                .conflict, "image \(name) is another one",
                remedy: "give this one another --name, or remove that one: covey image rm \(name)",
                resource: ResourceReference("image", name))
        }
        let id = image.metadata.id.description
        let operations = try await context.repositories.operations.list(tenant).items
        return (image, operations.first { $0.spec.targetID == id && !$0.status.state.isFinal })
    }

    private func makeKernel(
        _ name: String, _ source: String, _ tenant: Tenant, _ requestID: String
    ) async throws {
        let kernels = context.repositories.kernels
        let isFirst = try await kernels.getDefault(tenant) == nil
        do {
            _ = try await kernels.create(
                tenant, name: name,
                spec: KernelSpec(source: source, isDefault: isFirst, architecture: context.settings.architecture),
                node: context.settings.node, requestID: "\(requestID)/kernel")
        } catch let error as CoveyError where error.code == .conflict {
            // Another request made it at the same time.
            _ = try await kernels.get(tenant, name)
        }
    }

    private func find(
        _ reference: CatalogReference, _ kinds: Set<CatalogEntry.Kind>
    ) async throws -> CatalogEntry {
        try await entries(of: reference.catalog.isEmpty ? nil : reference.catalog, insecure: reference.insecure).find(
            reference, kinds: kinds, architecture: context.settings.architecture)
    }
}
