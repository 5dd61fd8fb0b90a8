internal import CoveyAPI
package import CoveyModel
internal import FoundationEssentials
internal import GRPCCore

/// A piece of a file that is sent.
package enum FilePiece: Hashable, Sendable {
    /// Its next bytes.
    case bytes([UInt8])
    /// So many zeros.
    case zeros(Int64)
}

extension CoveyClient {
    /// Sends a root file system and asks for an image of it.
    ///
    /// - Parameters:
    ///   - name: The image's name.
    ///   - file: The file's or folder's name, for people.
    ///   - choices: What is said of its programs in place of what is found.
    ///   - pieces: Waits for the next piece; nil at the end.
    package func registerImage(
        _ name: String, file: String, choices: ImageChoices = ImageChoices(), labels: [String: String] = [:],
        requestID: String = requestID(), pieces: @escaping @Sendable () async throws -> FilePiece?
    ) async throws -> Mutation<Image> {
        var header = Covey_V1_RegisterImageHeader()
        header.tenant = tenant
        header.requestID = requestID
        header.name = name
        header.file = file
        header.choices = Covey_V1_ImageChoices(choices)
        header.labels = labels
        var message = Covey_V1_RegisterImageRequest()
        message.header = header
        let first = message
        // A stream cannot be sent twice, so this call is not repeated.
        return try await once {
            let answer = try await images.register(options: streamOptions) { writer in
                try await writer.write(first)
                while let piece = try await pieces() {
                    var message = Covey_V1_RegisterImageRequest()
                    switch piece {
                    case .bytes(let bytes): message.file = Data(bytes)
                    case .zeros(let count): message.zeros = count
                    }
                    try await writer.write(message)
                }
            }
            return Mutation(subject: try Image(answer.image), operation: try Operation(answer.operation))
        }
    }

    /// Asks for an image of a stopped machine's disk.
    package func promote(
        _ machine: String, name: String, labels: [String: String] = [:], requestID: String = requestID()
    ) async throws -> Mutation<Image> {
        var message = Covey_V1_PromoteImageRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.machine = machine
        message.name = name
        message.labels = labels
        let request = message
        return try await repeatable {
            let answer = try await images.promote(request, options: options)
            return Mutation(subject: try Image(answer.image), operation: try Operation(answer.operation))
        }
    }

    /// Asks for an image of a catalog's entry; without a name it is called as the entry.
    package func pullImage(
        _ entry: CatalogReference, name: String? = nil, labels: [String: String] = [:],
        requestID: String = requestID()
    ) async throws -> (image: Image, operation: Operation?) {
        var message = Covey_V1_PullImageEntryRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.entry = Covey_V1_CatalogReference(entry)
        if let name { message.name = name }
        message.labels = labels
        let request = message
        return try await repeatable {
            let answer = try await images.pullEntry(request, options: options)
            return (try Image(answer.image), answer.hasOperation ? try Operation(answer.operation) : nil)
        }
    }

    /// What the catalogs offer, or one of them.
    package func catalogEntries(
        of catalog: String? = nil, kinds: [CatalogEntry.Kind] = [], insecure: Bool = false
    ) async throws -> [CatalogEntry] {
        var message = Covey_V1_ListCatalogEntriesRequest()
        message.tenant = tenant
        if let catalog { message.catalog = catalog }
        message.kinds = kinds.map(\.wire)
        message.insecure = insecure
        let request = message
        return try await repeatable {
            let answer = try await catalogs.list(request, options: options)
            return try answer.items.converted { item throws(CoveyError) in try CatalogEntry(item) }
        }
    }
}
