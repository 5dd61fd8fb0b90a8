package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_ImageSource {
    /// The message of a source.
    package init(_ model: ImageSpec.Source) {
        self.init()
        switch model {
        case .builtIn: builtIn = .init()
        case .debian(let suite, let options):
            debian = .with { message in
                message.suite = suite
                guard let options else { return }
                message.packages = options.packages
                if let mirror = options.mirror { message.mirror = mirror }
                message.sshKeys = options.sshKeys
            }
        case .upload(let name, let token, let choices):
            upload = .with { message in
                message.name = name
                message.token = token
                message.choices = Covey_V1_ImageChoices(choices)
            }
        case .machine(let id, let name, let image):
            machine = .with { message in
                message.machine = id.description
                message.name = name
                message.image = image.description
            }
        case .catalog(let catalog, let name, let insecure):
            self.catalog = Covey_V1_CatalogReference(
                CatalogReference(catalog: catalog, name: name, insecure: insecure))
        case .registry(let pull): registry = Covey_V1_RegistryPull(pull)
        }
    }
}

extension ImageSpec.Source {
    /// The value of a message.
    package init(_ message: Covey_V1_ImageSource) throws(CoveyError) {
        switch message.source {
        case .builtIn: self = .builtIn
        case .debian(let debian):
            let options = DebianOptions(
                packages: debian.packages, mirror: debian.hasMirror ? debian.mirror : nil, sshKeys: debian.sshKeys)
            self = .debian(suite: debian.suite, options: options == DebianOptions() ? nil : options)
        case .upload(let upload):
            self = .upload(name: upload.name, token: upload.token, choices: ImageChoices(upload.choices))
        case .machine(let source):
            guard let id = MachineID(source.machine), let image = ImageID(source.image) else {
                throw CoveyError(.invalid, "the image's source names no machine")
            }
            self = .machine(id: id, name: source.name, image: image)
        case .catalog(let entry):
            self = .catalog(catalog: entry.catalog, name: entry.name, insecure: entry.insecure)
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
        if let system = model.initSystem { initSystem = system.wire }
    }
}

extension ImageConfiguration {
    /// The value of a message.
    package init(_ message: Covey_V1_ImageConfiguration) throws(CoveyError) {
        self.init(
            entrypoint: message.entrypoint, command: message.command, environment: message.environment,
            workingDirectory: message.hasWorkingDirectory ? message.workingDirectory : nil,
            user: message.hasUser ? message.user : nil, initPath: message.hasInitPath ? message.initPath : nil,
            initSystem: try InitSystem.optional(message.initSystem, "init_system"))
    }
}

extension Covey_V1_Image {
    /// The message of an image.
    package init(_ model: Image) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        spec.source = Covey_V1_ImageSource(model.spec.source)
        spec.architecture = model.spec.architecture.wire
        if let kernel = model.spec.kernel { spec.kernel = kernel }
        if let id = model.spec.tagOf { spec.tagOf = id.description }
        status.state = model.status.state.wire
        if let digest = model.status.digest { status.digest = digest }
        if let size = model.status.size { status.sizeBytes = size.bytes }
        if let allocated = model.status.allocated { status.allocatedBytes = allocated.bytes }
        status.configuration = Covey_V1_ImageConfiguration(model.status.configuration)
        if let node = model.status.node { status.node = node.description }
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
        status.configuration = try ImageConfiguration(message.status.configuration)
        if message.status.hasNode { status.node = try NodeID(wire: message.status.node, "status.node") }
        if message.status.hasOrigin { status.origin = ImageOrigin(message.status.origin) }
        if message.status.hasLastError { status.lastError = try CoveyError(message.status.lastError) }
        self.init(
            metadata: try Metadata(message.metadata),
            spec: ImageSpec(
                source: try ImageSpec.Source(message.spec.source),
                architecture: try Architecture(wire: message.spec.architecture, "spec.architecture"),
                kernel: message.spec.hasKernel ? message.spec.kernel : nil,
                tagOf: message.spec.hasTagOf ? try ImageID(wire: message.spec.tagOf, "spec.tag_of") : nil),
            status: status)
    }
}
