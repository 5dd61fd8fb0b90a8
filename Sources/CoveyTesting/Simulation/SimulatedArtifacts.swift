package import CoveyImages
package import CoveyModel
internal import CoveySystem

/// Images, kernels and disks of a simulated host: names instead of bytes.
package struct SimulatedArtifacts: ImageLibrary, KernelLibrary, RootDiskStore {
    private let host: SimulatedHost

    /// The artifacts of a host.
    package init(_ host: SimulatedHost) { self.host = host }

    private var stored: StoredImage {
        StoredImage(
            digest: "sha256:0", path: "/simulated/image", size: .mebibytes(1), allocated: .mebibytes(1),
            configuration: ImageConfiguration(command: ["sleep"]))
    }

    package func build(
        _ id: ImageID, from source: ImageSpec.Source, progress: @escaping ProgressHandler
    ) async throws -> StoredImage {
        try host.check("image")
        return stored
    }

    package func make(
        _ id: ImageID, from material: ImageMaterial, progress: @escaping ProgressHandler
    ) async throws -> StoredImage {
        try host.check("image")
        if case .disk = material { await host.passCopy() }
        return stored
    }

    package func image(_ id: ImageID) async throws -> StoredImage { stored }

    package func link(_ id: ImageID, to source: ImageID) async throws -> StoredImage {
        try host.check("image")
        return stored
    }

    package func usage(without: Set<ImageID>, awaited: Bool) async throws -> ImageUsage {
        ImageUsage(
            images: DiskUsage(kind: .images), blobs: DiskUsage(kind: .blobs),
            items: without.map { PrunedItem(kind: .image, name: "\($0)", freed: .mebibytes(1)) })
    }

    package func collect() async throws {}

    package func remove(_ id: ImageID) async throws {}

    package func release(_ source: ImageSpec.Source) async throws {}

    package func sweep(keeping: Set<ImageID>) async throws -> [String] { [] }

    package func importKernel(
        _ id: KernelID, from source: KernelSource, progress: @escaping ProgressHandler
    ) async throws -> StoredKernel {
        try host.check("kernel")
        return try await kernel(id)
    }

    package func kernel(_ id: KernelID) async throws -> StoredKernel {
        StoredKernel(
            release: "6.1.0-simulated", digest: "sha256:1", payload: "none", modules: 0, elf: "/simulated/vmlinux",
            initramfs: "/simulated/initramfs", tools: "/simulated/tools", allocated: .mebibytes(1))
    }

    package func remove(_ id: KernelID) async throws {}

    package func sweep(keeping: Set<KernelID>) async throws -> [String] { [] }

    package func create(at path: String, over image: StoredImage, size: ByteCount?) async throws -> RootDisk {
        try host.check("disk")
        try makeFolder(parentFolder(path))
        _ = try openFile(path, [.writeOnly, .create])
        return RootDisk(strategy: .copy, path: path, format: .raw)
    }

    package func release(at path: String) async throws {}

    package func remove(at path: String) async throws { try removeFile(path) }
}
