internal import CoveyImages
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Logging
internal import Synchronization

/// Makes what another node has made again, for machines of this one: from where it came, and only the same.
///
/// The record stays the other node's. What is here goes with the record, or with the next start's sweep.
package final class ArtifactCopies: Sendable {
    private enum Copy { case working, failed(CoveyError) }
    typealias Make = @Sendable () async throws -> Void

    private let copies = Mutex<[String: Copy]>([:])
    private let (letters, post) = AsyncStream<(String, Make)>.makeStream()

    /// None is made.
    init() {}

    /// Whether something is being made here: what is half there is needed.
    var isWorking: Bool {
        copies.withLock { copies in
            copies.values.contains {
                if case .working = $0 { true } else { false }
            }
        }
    }

    /// Asks for a copy that is not here. Returns false while it is on its way; once it is there nobody asks.
    ///
    /// Errors: why the one before failed; the next question begins anew.
    func want(_ id: String, _ make: @escaping Make) throws {
        let failed = copies.withLock { copies -> CoveyError? in
            switch copies[id] {
            case .working: return nil
            case .failed(let error):
                copies[id] = nil
                return error
            case nil:
                copies[id] = .working
                post.yield((id, make))
                return nil
            }
        }
        if let failed { throw failed }
    }

    /// Works until the task is cancelled; `changed` is called whenever one is over.
    func run(_ logger: Logger, _ changed: @escaping @Sendable () -> Void) async {
        await withDiscardingTaskGroup { group in
            for await (id, make) in letters {
                group.addTask {
                    let error = await self.attempt(make)
                    if let error { logger.error("copy failed", metadata: ["id": "\(id)", "error": "\(error)"]) }
                    self.copies.withLock { $0[id] = error.map { .failed($0) } }
                    changed()
                }
            }
        }
    }

    private func attempt(_ make: Make) async -> CoveyError? {
        do { try await make() } catch { return CoveyError.wrapping(error) }
        return nil
    }
}

extension MachineHost {
    /// Whether this node looks after an image. One that nobody looks after is taken, where its content is here or still to
    /// come.
    func isMine(_ image: Image) async throws -> Bool {
        if let maker = image.status.node { return maker == node }
        if image.status.state == .ready, try await !isHere({ try await images.image(image.metadata.id) }) {
            return false
        }
        return try await repositories.images.claim(image.metadata.id, for: node).status.node == node
    }

    /// Whether this node looks after a kernel; as ``isMine(_:)-(Image)``.
    func isMine(_ kernel: Kernel) async throws -> Bool {
        if let maker = kernel.status.node { return maker == node }
        if kernel.status.state == .ready, try await !isHere({ try await kernels.kernel(kernel.metadata.id) }) {
            return false
        }
        return try await repositories.kernels.claim(kernel.metadata.id, for: node).status.node == node
    }

    /// An image that is ready, on this node; nil while it is being made here. Errors: ``ErrorCode/conflict`` where only
    /// another node has it.
    func local(_ image: Image) async throws -> StoredImage? {
        let id = image.metadata.id
        if image.status.node == node || image.status.node == nil { return try await images.image(id) }
        if let there = try await find(id) { return there }
        guard image.spec.isRepeatable else {
            throw try await elsewhere("image", image.metadata.name, image.status.node)
        }
        try copies.want("\(id)") { try await copy(image) }
        return nil
    }

    /// A kernel that is ready, on this node; as ``local(_:)-(Image)``.
    func local(_ kernel: Kernel) async throws -> StoredKernel? {
        let id = kernel.metadata.id
        if kernel.status.node == node || kernel.status.node == nil { return try await kernels.kernel(id) }
        if let there = try await find(id) { return there }
        guard kernel.spec.isRepeatable else {
            throw try await elsewhere("kernel", kernel.metadata.name, kernel.status.node)
        }
        try copies.want("\(id)") { try await copy(kernel) }
        return nil
    }

    /// Whether something is here, whole or not.
    private func isHere<T>(_ look: () async throws -> T) async throws -> Bool {
        do { _ = try await look() } catch let error as CoveyError { return error.code != .notFound }
        return true
    }

    private func find(_ id: ImageID) async throws -> StoredImage? {
        do { return try await images.image(id) } catch let error as CoveyError where error.code == .notFound {
            return nil
        }
    }

    private func find(_ id: KernelID) async throws -> StoredKernel? {
        do { return try await kernels.kernel(id) } catch let error as CoveyError where error.code == .notFound {
            return nil
        }
    }

    private func copy(_ image: Image) async throws {
        let id = image.metadata.id
        var wanted = image
        wanted.spec.tagOf = nil
        if case .registry(var pull) = image.spec.source, let digest = image.status.origin?.manifestDigest {
            // The tag may mean another image by now.
            guard let digest = ContentDigest(digest) else {
                throw CoveyError(.corrupt, "image \(image.metadata.name) names no digest that it was pulled by")
            }
            pull.reference = try ImageReference(pull.reference).pinned(to: digest).canonical
            pull.access = nil
            wanted.spec.source = .registry(pull: pull)
        }
        let stored = try await makeImage(wanted) { _, _, _, _ in }
        try await pool.run { [folder = fetchFolder("\(id)")] in try removeTree(folder) }
        let isSame: Bool =
            switch image.spec.source {
            case .builtIn: true
            case .registry: stored.origin?.configurationDigest == image.status.origin?.configurationDigest
            case .catalog, .debian, .upload, .machine: stored.digest == image.status.digest
            }
        if isSame { return try await dropOrphan(id) }
        try await images.remove(id)
        throw try await changed("image", image.metadata.name, image.status.node)
    }

    private func copy(_ kernel: Kernel) async throws {
        let id = kernel.metadata.id
        if kernel.spec.source.hasPrefix(KernelSpec.imagePrefix),
            let bundle = ImageID(String(kernel.spec.source.dropFirst(KernelSpec.imagePrefix.count)))
        {
            let image = try await repositories.images.get(bundle)
            if try await find(bundle) == nil { try await copy(image) }
        }
        let nothing: ProgressHandler = { _, _, _, _ in }
        let stored = try await kernels.importKernel(
            id, from: try await kernelSource(kernel, nothing), progress: nothing)
        try await pool.run { [folder = fetchFolder("\(id)")] in try removeTree(folder) }
        guard stored.digest == kernel.status.digest else {
            try await kernels.remove(id)
            throw try await changed("kernel", kernel.metadata.name, kernel.status.node)
        }
        do { _ = try await repositories.kernels.get(id) } catch let error as CoveyError where error.code == .notFound {
            try await kernels.remove(id)
            throw error
        }
    }

    /// A record that went while its copy was made takes the copy with it.
    private func dropOrphan(_ id: ImageID) async throws {
        do { _ = try await repositories.images.get(id) } catch let error as CoveyError where error.code == .notFound {
            try await images.remove(id)
            throw error
        }
    }

    private func elsewhere(_ kind: String, _ name: String, _ maker: NodeID?) async throws -> CoveyError {
        CoveyError.elsewhere(kind, name, node: try await repositories.nodes.name(of: maker))
    }

    private func changed(_ kind: String, _ name: String, _ maker: NodeID?) async throws -> CoveyError {
        let place = try await repositories.nodes.name(of: maker)
        return CoveyError(
            .conflict, "\(kind) \(name) was made on node \(place), and there is another one now where it came from",
            remedy: "make one of your own on this node, under another --name", resource: ResourceReference(kind, name))
    }
}
