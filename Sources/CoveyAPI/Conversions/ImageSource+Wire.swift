package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_ImageChoices {
    /// The message of choices.
    package init(_ model: ImageChoices) {
        self.init()
        if let words = model.entrypoint { entrypoint = .with { $0.words = words } }
        if let words = model.command { command = .with { $0.words = words } }
        environment = model.environment
        if let folder = model.workingDirectory { workingDirectory = folder }
        if let user = model.user { self.user = user }
        if let path = model.initPath { initPath = path }
    }
}

extension ImageChoices {
    /// The value of a message.
    package init(_ message: Covey_V1_ImageChoices) {
        self.init(
            entrypoint: message.hasEntrypoint ? message.entrypoint.words : nil,
            command: message.hasCommand ? message.command.words : nil, environment: message.environment,
            workingDirectory: message.hasWorkingDirectory ? message.workingDirectory : nil,
            user: message.hasUser ? message.user : nil, initPath: message.hasInitPath ? message.initPath : nil)
    }
}

extension Covey_V1_CatalogReference {
    /// The message of a reference.
    package init(_ model: CatalogReference) {
        self.init()
        catalog = model.catalog
        name = model.name
        insecure = model.insecure
    }
}

extension CatalogReference {
    /// The value of a message.
    package init(_ message: Covey_V1_CatalogReference) {
        self.init(catalog: message.catalog, name: message.name, insecure: message.insecure)
    }
}

extension Covey_V1_CatalogEntry {
    /// The message of an entry.
    package init(_ model: CatalogEntry) {
        self.init()
        catalog = model.catalog
        name = model.name
        kind = model.kind.wire
        architecture = model.architecture.wire
        url = model.url
        sizeBytes = model.size.bytes
        sha256 = model.sha256
        if let kernel = model.kernel { self.kernel = kernel }
        if let summary = model.summary { self.summary = summary }
    }
}

extension CatalogEntry {
    /// The value of a message.
    package init(_ message: Covey_V1_CatalogEntry) throws(CoveyError) {
        self.init(
            catalog: message.catalog, name: message.name, kind: try Kind(wire: message.kind, "kind"),
            architecture: try Architecture(wire: message.architecture, "architecture"), url: message.url,
            size: ByteCount(message.sizeBytes), sha256: message.sha256,
            kernel: message.hasKernel ? message.kernel : nil, summary: message.hasSummary ? message.summary : nil)
    }
}

extension InitSystem: WireEnumeration {
    package var wire: Covey_V1_InitSystem {
        switch self {
        case .none: .none
        case .systemd: .systemd
        case .openrc: .openrc
        case .busybox: .busybox
        case .other: .other
        }
    }
}

extension CatalogEntry.Kind: WireEnumeration {
    package var wire: Covey_V1_CatalogEntryKind {
        switch self {
        case .image: .image
        case .kernel: .kernel
        case .bundle: .bundle
        }
    }
}

extension KernelDriver.Presence: WireEnumeration {
    package var wire: Covey_V1_KernelDriverPresence {
        switch self {
        case .builtIn: .builtIn
        case .module: .module
        case .missing: .missing
        }
    }
}
