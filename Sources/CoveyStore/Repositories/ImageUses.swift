package import CoveyModel

/// What needs which image, as it stood at one moment.
package struct ImageUses: Sendable {
    /// Machines, and images and kernels that are still being made of an image, by its id.
    package var users: [ImageID: [ResourceReference]] = [:]
    /// How many records cannot be read: they may need any image.
    package var unreadable = 0

    /// Errors: ``ErrorCode/conflict`` where something needs the image.
    package func check(_ id: ImageID, name: String) throws(CoveyError) {
        guard let all = users[id], let user = all.first else { return }
        let others = all.count > 1 ? " and \(all.count - 1) more" : ""
        let remedy =
            user.kind == ResourceKind.machine.rawValue
            ? "remove them first: covey vm rm \(user.name)" : "wait until \(user) is made"
        throw CoveyError(
            .conflict, "image \(name) is used by \(user)\(others)", remedy: remedy,
            resource: ResourceReference("image", name))
    }
}

extension Repositories {
    /// What needs which image, of all tenants.
    ///
    /// Once an image is marked as to be deleted nothing new comes that needs it, so that what is read then is final.
    package func imageUses() async throws -> ImageUses {
        var uses = ImageUses()
        let machines = try await machines.list()
        for machine in machines.items {
            guard let id = machine.spec.imageID else { continue }
            uses.users[id, default: []].append(ResourceReference("vm", machine.metadata.name))
        }
        let images = try await images.list()
        for image in images.items where image.status.state.isAwaited {
            guard let id = image.spec.neededImage else { continue }
            uses.users[id, default: []].append(ResourceReference("image", image.metadata.name))
        }
        let kernels = try await kernels.list()
        for kernel in kernels.items where kernel.status.state.isAwaited {
            guard kernel.spec.source.hasPrefix(KernelSpec.imagePrefix),
                let id = ImageID(String(kernel.spec.source.dropFirst(KernelSpec.imagePrefix.count)))
            else { continue }
            uses.users[id, default: []].append(ResourceReference("kernel", kernel.metadata.name))
        }
        uses.unreadable = machines.setAside.count + images.setAside.count + kernels.setAside.count
        return uses
    }
}

extension ArtifactState {
    /// Whether it is still to be made.
    package var isAwaited: Bool {
        switch self {
        case .pending, .building: true
        case .ready, .failed, .deleting: false
        }
    }
}
