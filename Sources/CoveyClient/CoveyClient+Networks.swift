internal import CoveyAPI
package import CoveyModel

extension CoveyClient {
    /// Makes a network.
    package func createNetwork(_ request: NetworkRequest, requestID: String = requestID()) async throws -> Network {
        let message = Covey_V1_CreateNetworkRequest(request, tenant: tenant, requestID: requestID)
        return try await repeatable { try Network(try await networks.create(message, options: options)) }
    }

    /// A network by name or id.
    package func network(_ name: String) async throws -> Network {
        var message = Covey_V1_GetNetworkRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        return try await repeatable { try Network(try await networks.get(request, options: options)) }
    }

    /// All networks, by name.
    package func listNetworks() async throws -> [Network] {
        try await pages { token in
            var message = Covey_V1_ListNetworksRequest()
            message.tenant = tenant
            message.pageToken = token
            let answer = try await networks.list(message, options: options)
            return (
                try answer.items.converted { item throws(CoveyError) in try Network(item) }, answer.nextPageToken
            )
        }
    }

    /// Changes a network.
    package func updateNetwork(
        _ name: String, _ change: NetworkChange, requestID: String = requestID()
    ) async throws -> Network {
        let message = Covey_V1_UpdateNetworkRequest(change, of: name, tenant: tenant, requestID: requestID)
        return try await repeatable { try Network(try await networks.update(message, options: options)) }
    }

    /// Removes a network.
    package func deleteNetwork(_ name: String, requestID: String = requestID()) async throws {
        var message = Covey_V1_DeleteNetworkRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        let request = message
        _ = try await repeatable { try await networks.delete(request, options: options) }
    }

    /// Changes a machine; with `dryRun` it is only checked.
    package func updateMachine(
        _ name: String, _ change: MachineChange, dryRun: Bool = false, requestID: String = requestID()
    ) async throws -> VirtualMachine {
        let message = Covey_V1_UpdateVirtualMachineRequest(
            change, of: name, tenant: tenant, requestID: requestID, dryRun: dryRun)
        return try await repeatable {
            try VirtualMachine(try await machines.update(message, options: options).virtualMachine)
        }
    }

    /// What the programs in a machine listen on.
    package func listeningPorts(_ name: String) async throws -> [ListeningPort] {
        var message = Covey_V1_ListPortsRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        return try await repeatable {
            try await machines.listPorts(request, options: options).items.converted { item throws(CoveyError) in
                try ListeningPort(item)
            }
        }
    }

    /// What machines have used; of all that run where none is named.
    package func figures(_ names: [String] = []) async throws -> [MachineUse] {
        var message = Covey_V1_GetFiguresRequest()
        message.tenant = tenant
        message.names = names
        let request = message
        return try await repeatable {
            try await machines.getFigures(request, options: options).items.converted { item throws(CoveyError) in
                try MachineUse(item)
            }
        }
    }
}
