package import CoveyModel

extension TextCoded {
    /// Reads a text. Errors: ``ErrorCode/invalid`` naming the field.
    package init(wire text: String, _ field: String) throws(CoveyError) {
        guard let value = Self(text) else {
            throw CoveyError(.invalid, "\(field) \"\(text)\" cannot be read")
        }
        self = value
    }
}

extension Covey_V1_Network {
    /// The message of a network.
    package init(_ model: Network) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        spec.block = model.spec.block.description
        if let block6 = model.spec.block6 { spec.block6 = block6.description }
        spec.mtu = Int64(model.spec.mtu)
        spec.isolated = model.spec.isolated
        spec.reachesHost = model.spec.reachesHost
        spec.egress = model.spec.egress.description
        spec.deleting = model.spec.deleting
        status.conditions = model.status.conditions.map { Covey_V1_Condition($0) }
    }
}

extension Network {
    /// The value of a message.
    package init(_ message: Covey_V1_Network) throws(CoveyError) {
        var spec = NetworkSpec(
            block: try AddressBlock(wire: message.spec.block, "spec.block"),
            block6: message.spec.hasBlock6 ? try AddressBlock(wire: message.spec.block6, "spec.block6") : nil,
            mtu: try Int(wire: message.spec.mtu, "spec.mtu"), isolated: message.spec.isolated,
            reachesHost: message.spec.reachesHost, egress: try EgressPolicy(wire: message.spec.egress, "spec.egress"))
        spec.deleting = message.spec.deleting
        var status = NetworkStatus()
        status.conditions = try message.status.conditions.converted { condition throws(CoveyError) in
            try Condition(condition)
        }
        self.init(metadata: try Metadata(message.metadata), spec: spec, status: status)
    }
}

extension Covey_V1_CreateNetworkRequest {
    /// The message of a request.
    package init(_ model: NetworkRequest, tenant: String, requestID: String) {
        self.init()
        self.tenant = tenant
        self.requestID = requestID
        name = model.name
        labels = model.labels
        if let block = model.block { self.block = block.description }
        if model.block6 != .none { block6 = model.block6.description }
        if let mtu = model.mtu { self.mtu = Int64(mtu) }
        shared = !model.isolated
        reachesHost = model.reachesHost
        egress = model.egress.description
    }
}

extension NetworkRequest {
    /// The value of a message.
    package init(_ message: Covey_V1_CreateNetworkRequest) throws(CoveyError) {
        self.init(
            name: message.name, labels: message.labels,
            block: message.hasBlock ? try AddressBlock(wire: message.block, "block") : nil,
            block6: message.hasBlock6 ? try IPv6Choice(wire: message.block6, "block6") : .none,
            mtu: message.hasMtu ? try Int(wire: message.mtu, "mtu") : nil, isolated: !message.shared,
            reachesHost: message.reachesHost,
            egress: message.hasEgress ? try EgressPolicy(wire: message.egress, "egress") : .open)
    }
}

extension Covey_V1_UpdateNetworkRequest {
    /// The message of a change.
    package init(_ model: NetworkChange, of name: String, tenant: String, requestID: String) {
        self.init()
        self.tenant = tenant
        self.requestID = requestID
        self.name = name
        if let mtu = model.mtu { self.mtu = Int64(mtu) }
        if let isolated = model.isolated { self.isolated = isolated }
        if let reachesHost = model.reachesHost { self.reachesHost = reachesHost }
        if let egress = model.egress { self.egress = egress.description }
    }
}

extension NetworkChange {
    /// The value of a message.
    package init(_ message: Covey_V1_UpdateNetworkRequest) throws(CoveyError) {
        self.init()
        if message.hasMtu { mtu = try Int(wire: message.mtu, "mtu") }
        if message.hasIsolated { isolated = message.isolated }
        if message.hasReachesHost { reachesHost = message.reachesHost }
        if message.hasEgress { egress = try EgressPolicy(wire: message.egress, "egress") }
    }
}
