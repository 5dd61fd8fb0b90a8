package import CoveyImages
internal import CoveyModel
internal import CoveySystem

extension RegistryImages {
    package func unpack(
        _ archive: String, name: String, into folder: String, progress: @escaping ProgressHandler
    ) async throws {
        let limits = UnpackLimits()
        try await BlockingPool("covey-unpack").run { cancellation in
            let size = try FileFacts(archive).size
            try Unpacker(into: folder, limits: limits).apply(archive, name: name, cancellation) { done in
                progress("unpack", done, size, "bytes")
            }
        }
    }
}
