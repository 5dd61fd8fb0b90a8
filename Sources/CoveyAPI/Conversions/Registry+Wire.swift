package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_RegistryPull {
    /// The message of a pull.
    package init(_ model: RegistryPull) {
        self.init()
        reference = model.reference
        plainHTTP = model.plainHTTP
        if let access = model.access { self.access = access }
    }
}

extension RegistryPull {
    /// The value of a message.
    package init(_ message: Covey_V1_RegistryPull) {
        self.init(
            reference: message.reference, plainHTTP: message.plainHTTP,
            access: message.hasAccess ? message.access : nil)
    }
}

extension Covey_V1_ImageOrigin {
    /// The message of an origin.
    package init(_ model: ImageOrigin) {
        self.init()
        reference = model.reference
        manifestDigest = model.manifestDigest
        configurationDigest = model.configurationDigest
        layers = model.layers.map { layer in
            .with {
                $0.digest = layer.digest
                $0.sizeBytes = layer.size.bytes
                $0.mediaType = layer.mediaType
            }
        }
        history = model.history.map { step in
            .with {
                if let created = step.created { $0.created = created }
                if let createdBy = step.createdBy { $0.createdBy = createdBy }
                if let comment = step.comment { $0.comment = comment }
                $0.isEmpty = step.isEmpty
            }
        }
    }
}

extension ImageOrigin {
    /// The value of a message.
    package init(_ message: Covey_V1_ImageOrigin) {
        self.init(
            reference: message.reference, manifestDigest: message.manifestDigest,
            configurationDigest: message.configurationDigest,
            layers: message.layers.map {
                ImageLayer(digest: $0.digest, size: ByteCount($0.sizeBytes), mediaType: $0.mediaType)
            },
            history: message.history.map {
                ImageStep(
                    created: $0.hasCreated ? $0.created : nil, createdBy: $0.hasCreatedBy ? $0.createdBy : nil,
                    comment: $0.hasComment ? $0.comment : nil, isEmpty: $0.isEmpty)
            })
    }
}

extension Covey_V1_RegistryCredentials {
    /// The message of credentials.
    package init(_ model: RegistryCredentials) {
        self.init()
        user = model.user
        password = model.password
        if let token = model.identityToken { identityToken = token }
    }
}

extension RegistryCredentials {
    /// The value of a message.
    package init(_ message: Covey_V1_RegistryCredentials) {
        self.init(
            user: message.user, password: message.password,
            identityToken: message.hasIdentityToken ? message.identityToken : nil)
    }
}
