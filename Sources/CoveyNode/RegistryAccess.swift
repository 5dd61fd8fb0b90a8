internal import CoveyModel
internal import CoveyStore

extension MachineHost {
    /// Under what credentials are kept for images that are still to come.
    package func awaitedAccess() async throws -> Set<String> {
        let images = try await repositories.images.list()
        var tokens: Set<String> = []
        for image in images.items {
            switch image.status.state {
            case .pending, .building:
                if case .registry(let pull) = image.spec.source, let access = pull.access { tokens.insert(access) }
            case .ready, .failed, .deleting: continue
            }
        }
        return tokens
    }
}
