internal import CoveyModel
internal import Glibc

/// A resource as it was read, with what is needed to write it.
struct Loaded<Resource: StoredResource>: Sendable {
    var record: SpecRecord<Resource>
    var status: Resource.Status
    var specEntry: StoreEntry
    var statusEntry: StoreEntry

    var resource: Resource {
        Resource(metadata: record.metadata(specEntry.modRevision), spec: record.spec, status: status)
    }
}

/// Reads the resources of one kind.
struct ResourceTable<Resource: StoredResource>: Sendable {
    let core: RepositoryCore

    private var noun: String { Resource.kind.rawValue }

    /// The tenant of an id; nil where it does not exist.
    func owner(_ id: Identifier<Resource>) async throws -> String? {
        try await core.store.get(KeySpace.owner(id)).map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// A resource by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    func load(_ id: Identifier<Resource>) async throws -> Loaded<Resource> {
        guard let tenant = try await owner(id) else { throw CoveyError.notFound(noun, id.description) }
        return try await load(tenant, id).loaded
    }

    /// A resource of a tenant, and other keys as they stood at that moment.
    func load(
        _ tenant: String, _ id: Identifier<Resource>, with others: [StoreKey] = []
    ) async throws -> (loaded: Loaded<Resource>, others: [StoreEntry?]) {
        let keys = [KeySpace.spec(tenant, id), KeySpace.status(tenant, id)]
        let entries = try await core.store.get(all: keys + others).entries
        guard let loaded = try decode(entries[0], entries[1]) else {
            throw CoveyError.notFound(noun, id.description)
        }
        return (loaded, Array(entries.dropFirst(2)))
    }

    /// Puts a resource together; nil where nothing is there. Errors: ``ErrorCode/corrupt``.
    func decode(_ specEntry: StoreEntry?, _ statusEntry: StoreEntry?) throws -> Loaded<Resource>? {
        guard let specEntry else {
            guard let statusEntry else { return nil }
            throw CoveyError(.corrupt, "\(statusEntry.key): there is a status without a spec")
        }
        guard let statusEntry else {
            throw CoveyError(.corrupt, "\(specEntry.key): there is a spec without a status")
        }
        let record = try read(specEntry) { try Resource.specFormat.decode($0) }
        let status = try read(statusEntry) { try Resource.statusFormat.decode($0) }
        return Loaded(record: record, status: status, specEntry: specEntry, statusEntry: statusEntry)
    }

    /// Decodes an entry, with its key in the error.
    func read<T>(_ entry: StoreEntry, _ decode: ([UInt8]) throws -> T) throws -> T {
        do { return try decode(entry.value) } catch let error as CoveyError {
            throw error.with(context: entry.key.text).about(ResourceReference(noun, entry.key.text))
        }
    }

    /// A resource by id, name, or unambiguous beginning or end of an id.
    func resolve(_ tenant: Tenant, _ reference: String) async throws -> Loaded<Resource> {
        if let id = Identifier<Resource>(reference), try await owner(id) == tenant.description {
            return try await load(tenant.description, id).loaded
        }
        let name = KeySpace.name(Resource.kind, tenant.description, reference)
        if let entry = try await core.store.get(name),
            let id = Identifier<Resource>(String(decoding: entry.value, as: UTF8.self))
        {
            return try await load(tenant.description, id).loaded
        }
        var found: Set<Identifier<Resource>> = []
        if reference.utf8.count >= 4 {
            let part = reference.lowercased()
            for entry in try await core.store.list(KeySpace.resources(Resource.kind, tenant)).entries {
                guard let (_, id, _) = KeySpace.resource(entry.key, Resource.self) else { continue }
                if id.description.hasPrefix(part) || id.description.hasSuffix(part) { found.insert(id) }
            }
        }
        guard found.count < 2 else {
            throw CoveyError(
                .conflict, "\(reference) stands for \(found.count) \(noun)s", remedy: "give the name or more of the id",
                resource: ResourceReference(noun, reference))
        }
        guard let id = found.first else {
            throw CoveyError.notFound(noun, reference, remedy: "`covey \(noun) ls` shows what is there")
        }
        return try await load(tenant.description, id).loaded
    }

    /// The resources of a tenant, or of all (nil), that have all the labels.
    ///
    /// - Parameter mention: What the stored spec has to contain: the others are passed over without being decoded,
    ///   which takes most of a listing's time.
    func list(
        _ tenant: Tenant?, labels: [String: String] = [:], mention: String? = nil
    ) async throws -> Listing<Resource> {
        let (entries, revision) = try await core.store.list(KeySpace.resources(Resource.kind, tenant))
        let mention = mention.map { Array($0.utf8) }
        var listing = Listing<Resource>(items: [], setAside: [], revision: revision)
        var index = 0
        while index < entries.count {
            let entry = entries[index]
            index += 1
            guard let (_, id, isSpec) = KeySpace.resource(entry.key, Resource.self) else {
                listing.setAside.append(SetAside(key: entry.key, reason: "the key is none that this program knows"))
                continue
            }
            var statusEntry = isSpec ? nil : entry
            if isSpec, index < entries.count, let next = KeySpace.resource(entries[index].key, Resource.self),
                next.id == id, !next.isSpec
            {
                statusEntry = entries[index]
                index += 1
            }
            if let mention, isSpec, !entry.value.mentions(mention) { continue }
            do {
                guard let loaded = try decode(isSpec ? entry : nil, statusEntry) else { continue }
                let own = loaded.record.labels
                if labels.allSatisfy({ own[$0] == $1 }) { listing.items.append(loaded.resource) }
            } catch let error as CoveyError {
                listing.setAside.append(SetAside(key: entry.key, reason: error.description))
            }
        }
        return listing
    }

    /// The resources of a tenant, or of all (nil), and their changes.
    func watch(_ tenant: Tenant?) -> ChangeStream<Resource> {
        let follower = Follower<Resource>(
            store: core.store, prefix: KeySpace.resources(Resource.kind, tenant),
            list: { try await list(tenant) }, identify: { KeySpace.resource($0, Resource.self)?.id },
            read: { try await load($0).resource })
        return ChangeStream { try await follower.next() }
    }
}

extension [UInt8] {
    /// Whether other bytes are in it.
    fileprivate func mentions(_ other: [UInt8]) -> Bool {
        guard let first = other.first else { return true }
        return withUnsafeBytes { bytes in
            var start = 0
            while start + other.count <= bytes.count, let base = bytes.baseAddress,
                let found = memchr(base + start, Int32(first), bytes.count - other.count - start + 1)
            {
                if memcmp(found, other, other.count) == 0 { return true }
                start = UnsafeRawPointer(found) - base + 1
            }
            return false
        }
    }
}
