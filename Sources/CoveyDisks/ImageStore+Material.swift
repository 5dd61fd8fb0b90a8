package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

extension ImageStore {
    private static let kernelName = "kernel"
    private static let bundleCount = 64

    package func make(
        _ id: ImageID, from material: ImageMaterial, progress: @escaping ProgressHandler
    ) async throws -> StoredImage {
        try await produce(id, progress) { staging, target in
            switch material {
            case .file(let path, let name, let choices):
                if let layered = try await layered(path, name, choices, target, staging, progress) { return layered }
                let configuration = try await UploadedImage(layers: layers, pool: pool).make(
                    target, of: path, name: name, choices, in: staging, progress)
                return MadeImage(configuration: configuration)
            case .bundle(let path, let name): return try await bundle(path, name, target, staging, progress)
            case .disk(let disk, let vm, let image):
                progress("copy", nil, nil, nil)
                try await UploadedImage(layers: layers, pool: pool).flatten(disk, over: image, to: target, vm: vm)
                progress("check", nil, nil, nil)
                try await FileSystemCheck(subject: "the disk of vm \(vm)", pool: pool).run(target)
                return MadeImage(configuration: image.configuration)
            }
        }
    }

    /// The image of layers that an archive holds; nil for a file of another kind.
    private func layered(
        _ path: String, _ name: String, _ choices: ImageChoices, _ target: String, _ staging: String,
        _ progress: @escaping ProgressHandler
    ) async throws -> MadeImage? {
        guard let layers else { return nil }
        do {
            let made = try await LayeredImage(layers: layers, pool: pool).make(
                target, in: staging, archive: path, name: name, progress)
            guard let made else { return nil }
            return MadeImage(configuration: made.configuration.with(choices), unpacked: made)
        } catch {
            _ = try await collect(partial: true)
            throw error
        }
    }

    /// Takes a root file system and a kernel out of one archive.
    private func bundle(
        _ path: String, _ name: String, _ target: String, _ staging: String, _ progress: @escaping ProgressHandler
    ) async throws -> MadeImage {
        progress("unpack", nil, nil, nil)
        let image = "\(staging)/image.file"
        let kernel = "\(staging)/\(ImageStore.kernelName)"
        try await pool.run { cancellation in
            let file = try openFile(path, .readOnly)
            let archive = try Archive(descriptor: file.raw, .tar, subject: name)
            var count = 0
            while let entry = try archive.next() {
                count += 1
                guard count <= ImageStore.bundleCount else {
                    throw CoveyError(.invalid, "\(name) is no bundle: it holds more than an image and a kernel")
                }
                let parts = entry.path.split(separator: "/").filter { $0 != "." }
                guard parts.count == 1, entry.kind == .file, let stem = parts[0].split(separator: ".").first else {
                    continue
                }
                let place = ["image": image, "kernel": kernel][String(stem)]
                guard let place, !fileExists(place) else { continue }
                var writer = try SparseCopy.Writer(place)
                try archive.content(limit: Int(UploadedImage.largest.bytes)) { bytes in
                    try cancellation.check()
                    try writer.write(bytes)
                }
                try writer.finish()
            }
            guard fileExists(image), fileExists(kernel) else {
                throw CoveyError(
                    .invalid, "\(name) is no bundle: it lacks \(fileExists(image) ? "a kernel" : "an image")",
                    remedy: "a bundle is a tar archive with a file called image and one called kernel")
            }
        }
        let configuration = try await UploadedImage(layers: layers, pool: pool).make(
            target, of: image, name: name, ImageChoices(), in: staging, progress)
        try await pool.run { _ in try removeFile(image) }
        return MadeImage(configuration: configuration, kernel: ImageStore.kernelName)
    }
}
