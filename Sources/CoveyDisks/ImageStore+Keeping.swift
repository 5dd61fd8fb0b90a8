package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

/// Further names, and what all takes.
extension ImageStore {
    package func link(_ id: ImageID, to source: ImageID) async throws -> StoredImage {
        try await guarded(id) {
            try await turns.run(id) {
                let manifest = try await pool.run { _ in try linked(id, to: source) }
                return try await stored(id, manifest)
            }
        }
    }

    /// The files are never written to once they are published, so that hard links share them. Blocks.
    private func linked(_ id: ImageID, to source: ImageID) throws -> ImageManifest {
        if let manifest = try folder.load(id) { return manifest }
        let gone = CoveyError.notFound("image", "\(source)", remedy: "name another image")
        guard let manifest = try folder.load(source) else { throw gone }
        let staging = try folder.stage(id)
        do {
            for name in manifest.files.keys.sorted() {
                let (from, to) = ("\(folder.path(source))/\(name)", "\(staging)/\(name)")
                try check("link", to) { Glibc.link(from, to) }
            }
            try folder.publish(id, manifest)
            return manifest
        } catch {
            try removeTree(staging)
            if let error = error as? SystemError, error.isErrno(ENOENT) { throw gone }
            throw error
        }
    }

    package func usage(without: Set<ImageID>, awaited: Bool) async throws -> ImageUsage {
        let measured = try await pool.run { _ in try measure(without) }
        var items = measured.items
        var blobs = DiskUsage(kind: .blobs)
        if let layers {
            let kept = try await layers.usage(wanted: try await wanted(without: without))
            blobs = kept.blobs
            if awaited { blobs.reclaimable = ByteCount(0) } else { items += kept.loose }
        }
        return ImageUsage(images: measured.images, blobs: blobs, items: items)
    }

    package func collect() async throws { _ = try await collect(partial: true) }

    /// Counts each file once, however many ids it has. Blocks.
    private func measure(_ without: Set<ImageID>) throws -> (images: DiskUsage, items: [PrunedItem]) {
        var images = DiskUsage(kind: .images)
        var files: [[Int]: (facts: FileFacts, users: [ImageID])] = [:]
        for name in fileExists(folder.root) ? try listFolder(folder.root).sorted() : [] {
            guard let id = ImageID(name) else { continue }
            images.count += 1
            do throws(SystemError) {
                for file in try listFolder("\(folder.root)/\(name)") {
                    let facts = try FileFacts("\(folder.root)/\(name)/\(file)")
                    files[Array(facts.identity.prefix(2)), default: (facts, [])].users.append(id)
                }
            } catch {
                // Removed since the folder was listed.
                guard error.isErrno(ENOENT) else { throw error }
            }
        }
        var freed = Dictionary(uniqueKeysWithValues: without.map { ($0, Int64(0)) })
        for (facts, users) in files.values {
            let isNeeded = !users.allSatisfy { without.contains($0) }
            images.add(size: facts.size, allocated: facts.allocated, isNeeded: isNeeded)
            if !isNeeded, let last = users.last { freed[last, default: 0] += facts.allocated }
        }
        let items = freed.sorted { "\($0.key)" < "\($1.key)" }.map { id, bytes in
            PrunedItem(kind: .image, name: "\(id)", freed: ByteCount(bytes))
        }
        return (images, items)
    }
}
