internal import CoveyImages
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem

/// Images of what clients sent, of machines' disks and of catalogs.
extension MachineHost {
    /// Where what was sent for an image waits; nil where nothing was.
    func uploadFolder(_ image: Image) -> String? {
        guard case .upload(_, let token, _) = image.spec.source else { return nil }
        return spoolFolder(MachineHost.spoolPrefix + token)
    }

    /// Where an entry of a catalog is fetched to, by the id of what it becomes.
    func fetchFolder(_ id: String) -> String { "\(layout.uploads)/fetch-\(id)" }

    /// Removes what an image was made of and does not need any more; idempotent.
    func removeUploads(of image: Image) async throws {
        let folders = [uploadFolder(image), fetchFolder("\(image.metadata.id)")].compactMap(\.self)
        try await pool.run { for folder in folders { try removeTree(folder) } }
    }

    /// Removes what a kernel was made of and does not need any more; idempotent.
    func removeUploads(of kernel: Kernel) async throws {
        let folders = [spoolFolder(kernel.spec.source), fetchFolder("\(kernel.metadata.id)")]
        try await pool.run { for folder in folders { try removeTree(folder) } }
    }

    /// Makes an image of what its source names.
    func makeImage(_ image: Image, _ progress: @escaping ProgressHandler) async throws -> StoredImage {
        let id = image.metadata.id
        if let source = image.spec.tagOf { return try await images.link(id, to: source) }
        switch image.spec.source {
        case .builtIn, .debian, .registry:
            return try await images.build(id, from: image.spec.source, progress: progress)
        case .upload(let name, let token, let choices):
            let path = spoolPath("\(MachineHost.spoolPrefix)\(token):\(name)")
            guard try await pool.run({ fileExists(path) }) else {
                throw CoveyError(
                    .unavailable, "what was sent for image \(image.metadata.name) is not there any more",
                    remedy: "register it again", retryable: false)
            }
            return try await images.make(id, from: .file(path: path, name: name, choices: choices), progress: progress)
        case .machine(let machine, let name, let base):
            return try await promote(id, machine, name, base, progress)
        case .catalog(let catalog, let name, let insecure):
            let reference = CatalogReference(catalog: catalog, name: name, insecure: insecure)
            let text = reference.description
            let (entry, path) = try await fetch(
                reference, [.image, .bundle], image.spec.architecture, into: fetchFolder("\(id)"), progress)
            let material: ImageMaterial =
                switch entry.kind {
                case .bundle: .bundle(path: path, name: text)
                case .image, .kernel: .file(path: path, name: text, choices: ImageChoices())
                }
            return try await images.make(id, from: material, progress: progress)
        }
    }

    /// Copies the disk of a machine that does not run; a start of it waits meanwhile.
    private func promote(
        _ id: ImageID, _ machine: MachineID, _ name: String, _ base: ImageID, _ progress: @escaping ProgressHandler
    ) async throws -> StoredImage {
        try await loans.lend(machine) {
            let status = try await repositories.machines.get(machine).status
            guard status.phase == .stopped || status.phase == .failed else {
                throw CoveyError(
                    .conflict, "vm \(name) is \(status.phase.rawValue)", remedy: "stop it first: covey vm stop \(name)",
                    resource: ResourceReference("vm", name))
            }
            guard status.runGeneration > 0 else {
                throw CoveyError(
                    .conflict, "vm \(name) has no disk yet: it was never started",
                    remedy: "use its image, or start it once: covey vm start \(name)",
                    resource: ResourceReference("vm", name))
            }
            let image = try await images.image(base)
            // It is there, so this makes nothing but finds it, and attaches what has to be attached.
            let disk = try await disks.create(at: layout.disk(machine), over: image, size: nil)
            let made: StoredImage
            do {
                made = try await images.make(id, from: .disk(disk, vm: name, image: image), progress: progress)
            } catch {
                try await disks.release(at: layout.disk(machine))
                throw error
            }
            try await disks.release(at: layout.disk(machine))
            return made
        }
    }

    /// Fetches an entry's file; the name of its path tells what it is where that matters.
    func fetch(
        _ reference: CatalogReference, _ kinds: Set<CatalogEntry.Kind>, _ architecture: Architecture,
        into folder: String, _ progress: @escaping ProgressHandler
    ) async throws -> (entry: CatalogEntry, path: String) {
        progress("fetch", nil, nil, nil)
        let entry = try await catalogs.entries(
            of: reference.catalog.isEmpty ? nil : reference.catalog, insecure: reference.insecure
        ).find(reference, kinds: kinds, architecture: architecture)
        let last = entry.url.split(separator: "/").last ?? ""
        let safe = last.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.+~".contains($0)) }
            .drop { $0 == "." }.prefix(100)
        let path = "\(folder)/\(safe.isEmpty ? "file" : String(safe))"
        try await pool.run { try makeFolder(folder) }
        try await catalogs.fetch(entry, to: path, insecure: reference.insecure, progress: progress)
        return (entry, path)
    }

    /// What the kernel of a bundle is imported from, once its image is there.
    func bundledKernel(of id: ImageID, name: String) async throws -> String {
        let gone = CoveyError(
            .failure, "the image that kernel \(name) comes with could not be made", remedy: "pull the bundle again")
        for try await _ in repositories.images.watch() {
            let image: Image
            do { image = try await repositories.images.get(id) } catch let error as CoveyError
                where error.code == .notFound
            { throw gone }
            switch image.status.state {
            case .pending, .building: continue
            case .failed, .deleting: throw gone
            case .ready:
                guard let path = try await images.image(id).kernel else { throw gone }
                return path
            }
        }
        throw CancellationError()
    }
}
