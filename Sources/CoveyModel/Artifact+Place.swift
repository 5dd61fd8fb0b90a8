extension ImageSpec {
    /// Whether another node than the one that made it can make the same from where it came.
    package var isRepeatable: Bool {
        switch source {
        case .builtIn, .registry, .catalog: true
        case .debian, .upload, .machine: false
        }
    }
}

extension KernelSpec {
    /// Whether another node than the one that made it can make the same from where it came.
    package var isRepeatable: Bool {
        source == "debian"
            || [Self.catalogPrefix, Self.insecurePrefix, Self.imagePrefix].contains { source.hasPrefix($0) }
    }
}

extension CoveyError {
    /// Only another node has an image or a kernel, and nobody else can make the same.
    package static func elsewhere(_ kind: String, _ name: String, node: String) -> CoveyError {
        CoveyError(
            .conflict, "\(kind) \(name) lies on node \(node) alone",
            remedy: "make the machine there (through the daemon of node \(node)), or make one of your own here, "
                + "under another --name", resource: ResourceReference(kind, name))
    }
}

extension Image {
    /// Whether machines of a node can have it: the node made it, or can make the same.
    package func isObtainable(on node: NodeID) -> Bool {
        status.node == nil || status.node == node || spec.isRepeatable
    }
}

extension Kernel {
    /// Whether machines of a node can have it: the node made it, or can make the same.
    package func isObtainable(on node: NodeID) -> Bool {
        status.node == nil || status.node == node || spec.isRepeatable
    }
}
