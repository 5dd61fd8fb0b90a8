/// An image that a registry is asked for.
package struct RegistryPull: Hashable, Codable, Sendable {
    /// The reference, written out.
    package var reference: String
    /// Whether the registry may be spoken to without TLS.
    package var plainHTTP: Bool
    /// Under what the node keeps the caller's credentials until the pull ends; nil for none.
    package var access: String?

    /// Asks for a reference.
    package init(reference: String, plainHTTP: Bool = false, access: String? = nil) {
        self.reference = reference
        self.plainHTTP = plainHTTP
        self.access = access
    }
}

/// A layer as its manifest lists it.
package struct ImageLayer: Hashable, Codable, Sendable {
    /// `sha256:` and the digest of its compressed bytes.
    package var digest: String
    /// Those bytes' number.
    package var size: ByteCount
    /// How they are to be read.
    package var mediaType: String

    /// Makes a layer.
    package init(digest: String, size: ByteCount, mediaType: String) {
        self.digest = digest
        self.size = size
        self.mediaType = mediaType
    }
}

/// A step of an image's making, as its configuration tells it.
package struct ImageStep: Hashable, Codable, Sendable {
    /// When it was done, as written there (RFC 3339).
    package var created: String?
    /// What was done.
    package var createdBy: String?
    /// A remark.
    package var comment: String?
    /// Whether it made no layer.
    package var isEmpty: Bool

    /// Makes a step.
    package init(created: String? = nil, createdBy: String? = nil, comment: String? = nil, isEmpty: Bool = false) {
        self.created = created
        self.createdBy = createdBy
        self.comment = comment
        self.isEmpty = isEmpty
    }
}

/// Where an image of layers came from.
package struct ImageOrigin: Hashable, Codable, Sendable {
    /// The reference that was asked for, written out; empty for one out of an archive without a name.
    package var reference: String
    /// `sha256:` and the digest of the manifest for this architecture.
    package var manifestDigest: String
    /// `sha256:` and the digest of the image configuration.
    package var configurationDigest: String
    /// The layers, the lowest first.
    package var layers: [ImageLayer]
    /// How it was made, the first step first.
    package var history: [ImageStep]

    /// Makes an origin.
    package init(
        reference: String, manifestDigest: String, configurationDigest: String, layers: [ImageLayer],
        history: [ImageStep]
    ) {
        self.reference = reference
        self.manifestDigest = manifestDigest
        self.configurationDigest = configurationDigest
        self.layers = layers
        self.history = history
    }
}

/// What a registry knows a caller by. It prints as nothing.
package struct RegistryCredentials: Hashable, Codable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The user's name; empty where there is a token alone.
    package var user: String
    /// The password; empty where there is a token.
    package var password: String
    /// A token that the registry's token service takes instead of a password.
    package var identityToken: String?

    /// Makes credentials.
    package init(user: String, password: String, identityToken: String? = nil) {
        self.user = user
        self.password = password
        self.identityToken = identityToken
    }

    /// Says nothing of what they are.
    package var description: String { "credentials" }

    /// Shows nothing of what they are.
    package var customMirror: Mirror { Mirror(self, children: []) }
}
