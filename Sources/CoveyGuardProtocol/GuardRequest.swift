package import CoveyModel

/// What a client asks of the guard.
package enum GuardRequest: Hashable, Sendable {
    /// Who is there. Answer: ``GuardResponse/hello(_:)``.
    case hello(clientVersion: String)
    /// Start a process. Answer: ``GuardResponse/process(_:)``.
    case spawn(GuardSpawn)
    /// The processes whose names come after one. Answer: ``GuardResponse/processes(_:more:)``.
    case list(after: String)
    /// Wait for an end. Answer, once it has ended: ``GuardResponse/process(_:)``.
    case wait(name: String)
    /// Forget a wait by its packet's id. No answer.
    case cancelWait(id: UInt64)
    /// Send a signal.
    case signal(name: String, signal: Int32)
    /// Kill all in the control group. Answer, once nobody is left: ``GuardResponse/done``.
    case kill(name: String)
    /// Forget a process that has ended.
    case forget(name: String)
    /// What cannot be limited. Answer: ``GuardResponse/limitations(_:)``.
    case limitations
    /// Go on as another program, by exec. Success ends the connection; failure is answered.
    case replace(path: String)
    /// End; refused while there is a process.
    case shutdown
}

extension GuardRequest {
    private enum Kind: UInt16 {
        case hello = 1
        case spawn, list, wait, cancelWait, signal, kill, forget, limitations, replace, shutdown
    }

    /// The packet.
    package func encoded(id: UInt64) -> [UInt8] {
        var writer = GuardProtocol.head(kind: kind.rawValue, id: id)
        switch self {
        case .hello(let version): writer.put(1, version)
        case .spawn(let spawn): spawn.write(to: &writer)
        case .list(let after): writer.put(1, after)
        case .wait(let name), .kill(let name), .forget(let name): writer.put(1, name)
        case .cancelWait(let id): writer.put(1, id)
        case .signal(let name, let signal):
            writer.put(1, name)
            writer.put(2, signal)
        case .replace(let path): writer.put(1, path)
        case .limitations, .shutdown: break
        }
        return writer.bytes
    }

    /// Reads a packet; nil with what it is where its kind is not known here.
    /// Errors: ``ErrorCode/corrupt`` for anything that is no packet.
    package static func decode(
        _ bytes: [UInt8]
    ) throws(CoveyError) -> (id: UInt64, request: GuardRequest?, kind: UInt16) {
        let (kind, id, fields) = try GuardProtocol.open(bytes)
        guard let known = Kind(rawValue: kind) else { return (id, nil, kind) }
        return (id, try GuardRequest(known, fields), kind)
    }

    private init(_ kind: Kind, _ fields: FieldReader) throws(CoveyError) {
        func name() throws(CoveyError) -> String { try fields.required(try fields.text(1), "a name") }
        switch kind {
        case .hello: self = .hello(clientVersion: try fields.text(1) ?? "")
        case .spawn: self = .spawn(try GuardSpawn(from: fields))
        case .list: self = .list(after: try fields.text(1) ?? "")
        case .wait: self = .wait(name: try name())
        case .cancelWait: self = .cancelWait(id: try fields.required(try fields.integer(1), "an id"))
        case .signal:
            self = .signal(name: try name(), signal: try fields.required(try fields.integer(2), "a signal"))
        case .kill: self = .kill(name: try name())
        case .forget: self = .forget(name: try name())
        case .limitations: self = .limitations
        case .replace: self = .replace(path: try name())
        case .shutdown: self = .shutdown
        }
    }

    private var kind: Kind {
        switch self {
        case .hello: .hello
        case .spawn: .spawn
        case .list: .list
        case .wait: .wait
        case .cancelWait: .cancelWait
        case .signal: .signal
        case .kill: .kill
        case .forget: .forget
        case .limitations: .limitations
        case .replace: .replace
        case .shutdown: .shutdown
        }
    }
}

extension GuardSpawn {
    fileprivate func write(to writer: inout FieldWriter) {
        writer.put(1, name)
        writer.put(2, mark)
        for argument in arguments { writer.put(3, argument) }
        for variable in environment { writer.put(4, variable) }
        writer.put(5, workingDirectory)
        writer.put(6, user)
        for number in descriptorNumbers { writer.put(7, number) }
        if let console {
            writer.put(8) { inner in
                inner.put(1, console.number)
                inner.put(2, console.path)
                inner.put(3, console.limit.bytes)
            }
        }
        if let errorLog { writer.put(9, errorLog) }
        writer.put(10, UInt8(isolatesNetwork ? 1 : 0))
        if let memory { writer.put(11, memory.bytes) }
        if let tasks { writer.put(12, tasks) }
        if let milliCPUs { writer.put(13, milliCPUs) }
        if let openFiles { writer.put(14, openFiles) }
        for group in groups { writer.put(15, group) }
    }

    fileprivate init(from fields: FieldReader) throws(CoveyError) {
        self.init(
            name: try fields.required(try fields.text(1), "a name"),
            mark: try fields.required(try fields.text(2), "a mark"), arguments: try fields.texts(3),
            user: try fields.required(try fields.integer(6), "a user"))
        environment = try fields.texts(4)
        workingDirectory = try fields.text(5) ?? "/"
        descriptorNumbers = try fields.integers(7)
        if let inner = try fields.fields(8) {
            console = GuardConsole(
                number: try inner.required(try inner.integer(1), "a console's number"),
                path: try inner.required(try inner.text(2), "a console's path"),
                limit: ByteCount(try inner.required(try inner.integer(3), "a console's limit")))
        }
        errorLog = try fields.text(9)
        isolatesNetwork = try fields.integer(10, UInt8.self) != 0
        memory = try fields.integer(11, Int64.self).map { ByteCount($0) }
        tasks = try fields.integer(12)
        milliCPUs = try fields.integer(13)
        openFiles = try fields.integer(14)
        groups = try fields.integers(15)
    }
}
