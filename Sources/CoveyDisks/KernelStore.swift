package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// Kernels on this host, one folder each: the ELF file, an initramfs with the guest agent, and the tools disk.
package struct KernelStore: KernelLibrary {
    let folder: ArtifactFolder<Kernel, KernelManifest>
    let agent: String
    let pool = BlockingPool("covey-kernels")
    private let turns = Turns<KernelID>()
    private let agentDigest = AgentDigest()

    /// A store in a folder.
    ///
    /// - Parameters:
    ///   - root: The folder; it is made when the first kernel comes.
    ///   - agent: The static `covey-guest` that becomes `/init`.
    package init(root: String, agent: String) {
        folder = ArtifactFolder(root: root, kind: "kernel")
        self.agent = agent
    }

    package func importKernel(
        _ id: KernelID, from source: KernelSource, progress: @escaping ProgressHandler
    ) async throws -> StoredKernel {
        try await guarded(id) {
            try await turns.run(id) {
                if let manifest = try await pool.run({ _ in try folder.load(id) }) {
                    return try await stored(id, try await refreshed(id, manifest))
                }
                let staging = try await pool.run { _ in try folder.stage(id) }
                do {
                    let manifest = try await build(in: staging, from: source, agent: try await currentAgent(), progress)
                    try await pool.run { _ in try folder.publish(id, manifest) }
                    return try await stored(id, manifest)
                } catch {
                    try await discard(staging)
                    throw FreeSpace.explain(error, in: folder.root, doing: "importing a kernel")
                }
            }
        }
    }

    package func kernel(_ id: KernelID) async throws -> StoredKernel {
        try await guarded(id) {
            let manifest = try await pool.run { _ in try folder.load(id) }
            guard let manifest else { throw CoveyError.notFound("kernel", id.description) }
            if manifest.agent == (try await currentAgent()).digest { return try await stored(id, manifest) }
            return try await turns.run(id) {
                guard let manifest = try await pool.run({ _ in try folder.load(id) }) else {
                    throw CoveyError.notFound("kernel", id.description)
                }
                return try await stored(id, try await refreshed(id, manifest))
            }
        }
    }

    package func remove(_ id: KernelID) async throws {
        try await guarded(id) {
            try await turns.run(id) { try await pool.run { _ in try folder.remove(id) } }
        }
    }

    package func sweep(keeping: Set<KernelID>) async throws -> [String] {
        try await pool.run { _ in try folder.sweep(keeping: keeping) { turns.isTaken($0) } }
    }

    /// The guest agent's bytes and digest, checked. Errors: ``ErrorCode/unavailable`` where it is not there.
    private func currentAgent() async throws -> GuestAgent {
        try await pool.run { try agentDigest.current(agent, $0) }
    }

    /// The manifest, after initramfs and tools disk were made anew where the agent has changed.
    ///
    /// The former files stay for machines that are just starting; the sweep removes them.
    private func refreshed(_ id: KernelID, _ manifest: KernelManifest) async throws -> KernelManifest {
        let agent = try await currentAgent()
        guard manifest.agent != agent.digest else { return manifest }
        let staging = try await pool.run { _ in try folder.stage(id) }
        do {
            let path = folder.path(id)
            let changed = try await rebuild(manifest, in: path, staging: staging, agent: agent)
            try await pool.run { _ in
                for file in [changed.initramfs, changed.tools] {
                    try folder.sync("\(staging)/\(file.name)")
                    try check("rename", file.name) { rename("\(staging)/\(file.name)", "\(path)/\(file.name)") }
                }
                try folder.write(changed, in: path)
            }
            try await discard(staging)
            return changed
        } catch {
            try await discard(staging)
            throw FreeSpace.explain(error, in: folder.root, doing: "renewing a kernel")
        }
    }

    private func stored(_ id: KernelID, _ manifest: KernelManifest) async throws -> StoredKernel {
        let path = folder.path(id)
        return StoredKernel(
            release: manifest.release, digest: manifest.elf.digest, payload: manifest.payload,
            modules: manifest.modules, drivers: manifest.drivers, boots: manifest.boots,
            elf: "\(path)/\(manifest.elf.name)",
            initramfs: "\(path)/\(manifest.initramfs.name)", tools: "\(path)/\(manifest.tools.name)",
            allocated: try await pool.run { _ in try folder.allocated(id, manifest) })
    }

    private func discard(_ staging: String) async throws {
        // A tool's last children may still be dying of SIGKILL; what stays is the sweep's.
        try await pool.run { @Sendable () throws in try removeTree(staging) }
    }

    private func guarded<T: Sendable>(_ id: KernelID, _ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch {
            throw CoveyError.wrapping(error).about(ResourceReference("kernel", id.description))
        }
    }
}

/// The guest agent as it is now.
struct GuestAgent: Sendable {
    var bytes: [UInt8]
    /// `sha256:` and the digest of the bytes.
    var digest: String
}

/// Remembers the guest agent until its file changes.
final class AgentDigest: Sendable {
    private let known = Mutex<(facts: FileFacts, agent: GuestAgent)?>(nil)

    /// The agent at a path. Blocks. Errors: ``ErrorCode/unavailable`` where it is not there,
    /// ``ErrorCode/invalid`` where it is no static x86-64 program.
    func current(_ path: String, _ cancellation: Cancellation) throws -> GuestAgent {
        let facts: FileFacts
        do throws(SystemError) { facts = try FileFacts(path, followLinks: true) } catch {
            throw CoveyError(
                .unavailable, "the guest agent \(path) is missing", remedy: "install covey-guest beside covey",
                retryable: false, cause: error)
        }
        if let known = known.withLock({ $0 }), known.facts == facts { return known.agent }
        let file = try ELFFile.open(realPath(path), subject: "the guest agent")
        try file.requireStatic()
        let bytes = try readFile(path, limit: 128 << 20)
        var digest = Digest()
        bytes.withUnsafeBytes { digest.update($0) }
        let agent = GuestAgent(bytes: bytes, digest: digest.text())
        known.withLock { $0 = (facts, agent) }
        return agent
    }

    private func realPath(_ path: String) throws -> String {
        guard let resolved = realpath(path, nil) else { throw SystemError("realpath", path) }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
