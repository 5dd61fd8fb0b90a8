package import CoveyModel

extension Machines {
    /// Gives a machine another name, in one transaction with what carries its name for people: the name's key, and the
    /// volumes that it has. The node's binding is rewritten, so the node's watch wakes up.
    ///
    /// Operations and images that were made of its disk keep the name of their time; they know the machine by its id.
    ///
    /// - Parameters:
    ///   - reference: Name, id or unambiguous part of an id. A repeat is recognised by it as it is written, since the
    ///     name may be another machine's by then.
    ///   - name: The new name; the one that it has changes nothing.
    ///   - requestID: The caller's request id; a repeat with the same content returns the machine as it stands now.
    /// - Throws: ``ErrorCode/invalid`` for a name that is no DNS label; ``ErrorCode/conflict`` where the name is taken,
    ///   the machine is being deleted, or the request id was used for something else; ``ErrorCode/notFound``.
    @discardableResult
    package func rename(
        _ tenant: Tenant, _ reference: String, to name: String, requestID: String
    ) async throws -> VirtualMachine {
        try Names.checkLabel(name, kind: "vm")
        try Request.check(requestID)
        let digest = RecordCoding.digest(["rename", reference, name].map { Array($0.utf8) })
        let text = tenant.description
        let (requestKey, nameKey) = (
            KeySpace.request(text, requestID), KeySpace.name(VirtualMachine.kind, text, name)
        )
        return try await core.settle("renaming vm \(reference)") {
            let earlier = try await core.store.get(requestKey)
            if let first = try await table.firstResult(earlier, requestID: requestID, digest: digest) {
                return first.resource
            }
            let id = try await table.resolve(tenant, reference).record.id
            var (loaded, others) = try await table.load(text, id, with: [nameKey])
            let old = loaded.record.name
            // Renamed between the two reads: the name is nobody's now, or another's.
            guard old == reference || id.isMeant(by: reference) else { return nil }
            guard !loaded.record.spec.deleting else {
                throw CoveyError(.conflict, "vm \(old) is being deleted", resource: ResourceReference("vm", old))
            }
            if old == name { return loaded.resource }
            if others[0] != nil { throw table.nameTaken(name) }
            var draft = Draft()
            draft.create(nameKey, Array(id.description.utf8))
            draft.delete(KeySpace.name(VirtualMachine.kind, text, old))
            loaded.record.name = name
            loaded.record.generation += 1
            draft.replace(
                loaded.specEntry, try VirtualMachine.specFormat.encode(loaded.record, over: loaded.specEntry.value))
            if let node = loaded.record.node {
                let binding = BindingRecord(tenant: text, generation: loaded.record.generation)
                draft.put(KeySpace.binding(node, id), try BindingRecord.format.encode(binding))
            }
            try await Volumes(core).rename(id, to: name, in: loaded.record.spec.volumes, &draft)
            try table.add(Request(id: requestID, digest: digest, operation: nil), target: id, tenant: text, to: &draft)
            let result = try await core.store.transact(draft.transaction)
            return result.succeeded ? loaded.resource.at(result.revision) : nil
        }
    }
}

extension MachineID {
    /// Whether a text is the id, or its beginning or end.
    fileprivate func isMeant(by text: String) -> Bool {
        description.hasPrefix(text.lowercased()) || description.hasSuffix(text.lowercased())
    }
}
