/// The media types that matter. Sources: OCI image specification, media-types.md; docker, manifest-v2-2.md.
enum MediaType {
    static let index = "application/vnd.oci.image.index.v1+json"
    static let manifest = "application/vnd.oci.image.manifest.v1+json"
    static let configuration = "application/vnd.oci.image.config.v1+json"
    static let layer = "application/vnd.oci.image.layer.v1.tar"
    static let layerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
    static let layerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
    static let dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
    static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    static let dockerConfiguration = "application/vnd.docker.container.image.v1+json"
    static let dockerLayer = "application/vnd.docker.image.rootfs.diff.tar"
    static let dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    private static let dockerForeign = "application/vnd.docker.image.rootfs.foreign.diff.tar"
    private static let nonDistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    private static let dockerFirst = "application/vnd.docker.distribution.manifest.v1+"

    /// What a manifest is asked for as, the best first.
    static let accepted = [manifest, index, dockerManifest, dockerList]
    /// Layers that are unpacked.
    static let layers: Set<String> = [
        layer, layerGzip, layerZstd, dockerLayer, dockerLayerGzip, dockerLayer + ".zstd",
    ]
    /// Configurations that are read.
    static let configurations: Set<String> = [configuration, dockerConfiguration]

    /// Whether it is a layer that must be fetched from its maker.
    static func isForeign(_ type: String) -> Bool { type.hasPrefix(dockerForeign) || type.hasPrefix(nonDistributable) }

    /// Whether it is docker's first form of manifests.
    static func isFirstSchema(_ type: String) -> Bool { type.hasPrefix(dockerFirst) }

    /// A header's type without its parameters, in lower case.
    static func bare(_ header: String?) -> String? {
        header?.split(separator: ";").first.map { String($0).lowercased().filter { $0 != " " } }
    }
}
