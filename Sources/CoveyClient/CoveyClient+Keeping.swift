internal import CoveyAPI
package import CoveyModel
internal import GRPCCore

extension CoveyClient {
    /// Asks for a further name of an image.
    package func tagImage(
        _ image: String, as name: String, labels: [String: String] = [:], requestID: String = requestID()
    ) async throws -> Mutation<Image> {
        var message = Covey_V1_TagImageRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.image = image
        message.name = name
        message.labels = labels
        let request = message
        return try await repeatable {
            let answer = try await images.tag(request, options: options)
            return Mutation(subject: try Image(answer.image), operation: try Operation(answer.operation))
        }
    }

    /// Removes what no image needs; with `all` also images that were pulled and that nothing uses. Returns what went,
    /// or for a `dryRun` what would.
    package func pruneImages(
        all: Bool = false, dryRun: Bool = false, requestID: String = requestID()
    ) async throws -> [PrunedItem] {
        var message = Covey_V1_PruneImagesRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.all = all
        message.dryRun = dryRun
        let request = message
        // A repeat would not know what the first try removed; and it takes as long as removing does.
        return try await once {
            try await images.prune(request, options: streamOptions).items.converted { item throws(CoveyError) in
                try PrunedItem(item)
            }
        }
    }

    /// What the node's disk is used for.
    package func diskUsage() async throws -> [DiskUsage] {
        try await repeatable {
            try await monitoring.usage(Covey_V1_UsageRequest(), options: options).items.converted {
                item throws(CoveyError) in try DiskUsage(item)
            }
        }
    }
}
