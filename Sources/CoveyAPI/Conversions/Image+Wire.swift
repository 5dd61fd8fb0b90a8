package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_ImageSource {
    /// The message of a source.
    package init(_ model: ImageSpec.Source) {
        self.init()
        switch model {
        case .builtIn: builtIn = .init()
        case .debian(let suite): debian = .with { $0.suite = suite }
        case .registry(let pull): registry = Covey_V1_RegistryPull(pull)
        }
    }
}

extension ImageSpec.Source {
    /// The value of a message.
    package init(_ message: Covey_V1_ImageSource) throws(CoveyError) {
        switch message.source {
        case .builtIn: self = .builtIn
        case .debian(let debian): self = .debian(suite: debian.suite)
        case .registry(let pull): self = .registry(pull: RegistryPull(pull))
        case nil:
            throw CoveyError(
                .invalid, "the image's source is not given or not known",
                remedy: "use a client and a daemon of the same version")
        }
    }
}

extension Covey_V1_ImageConfiguration {
    /// The message of a configuration.
    package init(_ model: ImageConfiguration) {
        self.init()
        entrypoint = model.entrypoint
        command = model.command
        environment = model.environment
        if let folder = model.workingDirectory { workingDirectory = folder }
        if let user = model.user { self.user = user }
        if let path = model.initPath { initPath = path }
    }
}

extension ImageConfiguration {
    /// The value of a message.
    package init(_ message: Covey_V1_ImageConfiguration) {
        self.init(
            entrypoint: message.entrypoint, command: message.command, environment: message.environment,
            workingDirectory: message.hasWorkingDirectory ? message.workingDirectory : nil,
            user: message.hasUser ? message.user : nil, initPath: message.hasInitPath ? message.initPath : nil)
    }
}

extension Covey_V1_Image {
    /// The message of an image.
    package init(_ model: Image) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        spec.source = Covey_V1_ImageSource(model.spec.source)
        spec.architecture = model.spec.architecture.wire
        status.state = model.status.state.wire
        if let digest = model.status.digest { status.digest = digest }
        if let size = model.status.size { status.sizeBytes = size.bytes }
        if let allocated = model.status.allocated { status.allocatedBytes = allocated.bytes }
        status.configuration = Covey_V1_ImageConfiguration(model.status.configuration)
        if let origin = model.status.origin { status.origin = Covey_V1_ImageOrigin(origin) }
        if let error = model.status.lastError { status.lastError = Covey_V1_Error(error) }
    }
}

extension Image {
    /// The value of a message.
    package init(_ message: Covey_V1_Image) throws(CoveyError) {
        var status = ImageStatus(state: try ArtifactState(wire: message.status.state, "status.state"))
        if message.status.hasDigest { status.digest = message.status.digest }
        if message.status.hasSizeBytes { status.size = ByteCount(message.status.sizeBytes) }
        if message.status.hasAllocatedBytes { status.allocated = ByteCount(message.status.allocatedBytes) }
        status.configuration = ImageConfiguration(message.status.configuration)
        if message.status.hasOrigin { status.origin = ImageOrigin(message.status.origin) }
        if message.status.hasLastError { status.lastError = try CoveyError(message.status.lastError) }
        self.init(
            metadata: try Metadata(message.metadata),
            spec: ImageSpec(
                source: try ImageSpec.Source(message.spec.source),
                architecture: try Architecture(wire: message.spec.architecture, "spec.architecture")),
            status: status)
    }
}
