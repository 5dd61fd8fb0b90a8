package import CoveyModel

/// What the guard answers.
package enum GuardResponse: Hashable, Sendable {
    /// Who is there.
    case hello(GuardFacts)
    /// A process as it is now.
    case process(GuardedProcess)
    /// Processes by name, and whether more follow.
    case processes([GuardedProcess], more: Bool)
    /// It is done.
    case done
    /// What cannot be limited, a sentence each.
    case limitations([String])
    /// It failed.
    case failure(CoveyError)
}

extension GuardResponse {
    private enum Kind: UInt16 {
        case hello = 0x8001
        case process, processes, done, limitations, failure
    }

    /// The packet that answers a request.
    package func encoded(id: UInt64) -> [UInt8] {
        var writer = GuardProtocol.head(kind: kind.rawValue, id: id)
        switch self {
        case .hello(let facts):
            writer.put(1, facts.protocolVersion)
            writer.put(2, facts.programVersion)
            writer.put(3, facts.instance)
            writer.put(4, facts.pid)
            writer.put(5, facts.replacements)
        case .process(let process): writer.put(1) { process.write(to: &$0) }
        case .processes(let processes, let more):
            for process in processes { writer.put(1) { process.write(to: &$0) } }
            writer.put(2, UInt8(more ? 1 : 0))
        case .done: break
        case .limitations(let sentences): for sentence in sentences { writer.put(1, sentence) }
        case .failure(let error): error.write(to: &writer)
        }
        return writer.bytes
    }

    /// Reads a packet. Errors: ``ErrorCode/corrupt`` for anything that is no answer.
    package static func decode(_ bytes: [UInt8]) throws(CoveyError) -> (id: UInt64, response: GuardResponse) {
        let (kind, id, fields) = try GuardProtocol.open(bytes)
        guard let known = Kind(rawValue: kind) else { throw corrupt("kind \(kind) is no answer") }
        switch known {
        case .hello:
            let facts = GuardFacts(
                protocolVersion: try fields.required(try fields.integer(1), "a version"),
                programVersion: try fields.text(2) ?? "", instance: try fields.text(3) ?? "",
                pid: try fields.integer(4) ?? 0, replacements: try fields.integer(5) ?? 0)
            return (id, .hello(facts))
        case .process:
            return (id, .process(try GuardedProcess(from: try fields.required(try fields.fields(1), "a process"))))
        case .processes:
            var processes: [GuardedProcess] = []
            for value in fields.all(1) { processes.append(try GuardedProcess(from: try FieldReader(value))) }
            return (id, .processes(processes, more: try fields.integer(2, UInt8.self) == 1))
        case .done: return (id, .done)
        case .limitations: return (id, .limitations(try fields.texts(1)))
        case .failure: return (id, .failure(try CoveyError(from: fields)))
        }
    }

    private var kind: Kind {
        switch self {
        case .hello: .hello
        case .process: .process
        case .processes: .processes
        case .done: .done
        case .limitations: .limitations
        case .failure: .failure
        }
    }
}

extension GuardedEnd {
    /// Two integers: 0 exited, 1 signalled, 2 unknown; and the value.
    package var code: (kind: UInt8, value: Int32) {
        switch self {
        case .exited(let status): (0, status)
        case .signalled(let signal): (1, signal)
        case .unknown: (2, 0)
        }
    }

    /// An end from its two integers; unknown for a kind that is not known here.
    package init(kind: UInt8, value: Int32) {
        switch kind {
        case 0: self = .exited(value)
        case 1: self = .signalled(value)
        default: self = .unknown
        }
    }
}

extension GuardedProcess {
    /// Writes the fields; stored state uses them too.
    package func write(to writer: inout FieldWriter) {
        writer.put(1, name)
        writer.put(2, pid)
        writer.put(3, startTime)
        writer.put(4, bootID)
        guard let code = end?.code else { return }
        writer.put(5, code.kind)
        writer.put(6, code.value)
    }

    /// Reads the fields. Errors: ``ErrorCode/corrupt`` where one is missing.
    package init(from fields: FieldReader) throws(CoveyError) {
        self.init(
            name: try fields.required(try fields.text(1), "a name"),
            pid: try fields.required(try fields.integer(2), "a pid"),
            startTime: try fields.required(try fields.integer(3), "a start time"),
            bootID: try fields.required(try fields.text(4), "a boot id"))
        if let kind: UInt8 = try fields.integer(5) {
            end = GuardedEnd(kind: kind, value: try fields.integer(6) ?? 0)
        }
    }
}

extension CoveyError {
    fileprivate func write(to writer: inout FieldWriter) {
        writer.put(1, code.rawValue)
        writer.put(2, message)
        if let remedy { writer.put(3, remedy) }
        writer.put(4, UInt8(retryable ? 1 : 0))
        for cause in causes { writer.put(5, cause) }
        if let resource {
            writer.put(6, resource.kind)
            writer.put(7, resource.name)
        }
    }

    fileprivate init(from fields: FieldReader) throws(CoveyError) {
        let code = ErrorCode(rawValue: try fields.text(1) ?? "") ?? .failure
        self.init(
            code, try fields.text(2) ?? "the guard gave no reason", remedy: try fields.text(3),
            retryable: try fields.integer(4, UInt8.self) == 1)
        causes = try fields.texts(5)
        if let kind = try fields.text(6), let name = try fields.text(7) {
            resource = ResourceReference(kind, name)
        }
    }
}
