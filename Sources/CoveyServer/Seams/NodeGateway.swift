package import CoveyModel
package import CoveyNetwork

/// What a caller sends to a program, in order. One stream has one reader.
package struct ExecInputs: AsyncSequence, Sendable {
    package typealias Element = ExecInput

    private let read: @Sendable () async throws -> ExecInput?

    /// A stream from a function that waits for the next input; nil is the end of the caller's side.
    package init(_ read: @escaping @Sendable () async throws -> ExecInput?) { self.read = read }

    /// Reads the inputs.
    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let read: @Sendable () async throws -> ExecInput?

        /// Waits for the next input.
        package func next() async throws -> ExecInput? { try await read() }
    }

    package func makeAsyncIterator() -> Iterator { Iterator(read: read) }
}

/// A program to be run in a guest.
package struct ExecCommand: Hashable, Sendable {
    /// The exec's id: the caller's request id. One that is there already is connected to and not started again.
    package var id: String
    /// What runs.
    package var program: Program
    /// Whether it goes on without the caller.
    package var detach: Bool
    /// The terminal's size, where it gets one.
    package var size: TerminalSize?

    /// Makes a command.
    package init(id: String, program: Program, detach: Bool = false, size: TerminalSize? = nil) {
        self.id = id
        self.program = program
        self.detach = detach
        self.size = size
    }
}

/// A connection to a program that was started before.
package struct AttachCommand: Hashable, Sendable {
    /// The exec's id; ``ExecRecord/main`` is the machine's program.
    package var exec: String
    /// Bytes of standard output that the caller has; nil is from the oldest kept.
    package var stdoutOffset: Int64?
    /// Bytes of standard error that the caller has; nil is from the oldest kept.
    package var stderrOffset: Int64?
    /// The terminal's size, where it has one.
    package var size: TerminalSize?
    /// At most so many of the newest bytes of what was said come first, then ``ExecOutput/caughtUp``, and a program
    /// with a terminal is asked to draw anew; nil is from the offsets on.
    package var recent: Int64?

    /// Makes a command.
    package init(
        exec: String, stdoutOffset: Int64? = nil, stderrOffset: Int64? = nil, size: TerminalSize? = nil,
        recent: Int64? = nil
    ) {
        self.exec = exec
        self.stdoutOffset = stdoutOffset
        self.stderrOffset = stderrOffset
        self.size = size
        self.recent = recent
    }
}

/// Which log, and how much of it.
package struct LogQuery: Hashable, Sendable {
    /// What is read.
    package enum Source: Hashable, Sendable {
        /// The output of a program; ``ExecRecord/main`` is the machine's.
        case exec(String)
        /// The machine's serial console.
        case console
    }

    /// What is read.
    package var source: Source
    /// Whether to go on with what comes, until the machine is stopped or the program ends.
    package var follow: Bool
    /// Nothing older than this; nil is all that is kept.
    package var since: Timestamp?
    /// At most so many of the newest lines of what is there; nil is all.
    package var tail: Int?

    /// Makes a query.
    package init(_ source: Source, follow: Bool = false, since: Timestamp? = nil, tail: Int? = nil) {
        self.source = source
        self.follow = follow
        self.since = since
        self.tail = tail
    }
}

/// Names a file that a caller has streamed to a node.
///
/// Its text stands in ``KernelSpec/source`` as `spool:TOKEN:NAME`, and the node resolves it below a folder of its own.
package struct SpoolToken: Hashable, Sendable, CustomStringConvertible {
    private static let prefix = "spool:"

    /// Hex digits, made by the node.
    package let token: String
    /// The file's name as the caller wrote it, without folders; for people.
    package let name: String

    /// Makes a token.
    package init(token: String, name: String) {
        self.token = token
        self.name = name
    }

    /// Reads the text of a kernel's source; nil where it is none of a spooled file.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "spool", !parts[1].isEmpty, parts[1].allSatisfy(\.isHexDigit) else {
            return nil
        }
        token = String(parts[1])
        name = String(parts[2])
    }

    /// `spool:TOKEN:NAME`.
    package var description: String { "\(SpoolToken.prefix)\(token):\(name)" }
}

/// Which file of what is spooled bytes belong to.
package enum SpoolPart: String, Hashable, Sendable, CaseIterable {
    /// A root file system.
    case image
    /// The .deb, bzImage or ELF.
    case kernel
    /// A tar archive with the module tree.
    case modules
}

/// Reaches the node that owns a machine, or does a host's work: everything that is not in the store.
///
/// All calls throw ``CoveyError``, with ``ErrorCode/unavailable`` where the node cannot be reached. A call that is
/// cancelled (its caller left, or the daemon stops) returns soon; a program that it ran goes on or ends as said there.
package protocol NodeGateway: Sendable {
    /// Runs a program in a guest and relays it until it has ended; waits until the guest's agent is there.
    ///
    /// `output` gets ``ExecOutput/started(_:)`` first and ``ExecOutput/exited(_:)`` last, and is awaited, so that a slow
    /// caller slows the guest. With ``ExecCommand/detach`` it returns once the program runs. The end of `input` without
    /// ``ExecInput/end`` means that the caller left; a program that is not detached is then hung up on.
    /// Errors: ``ErrorCode/conflict`` where the machine does not run; ``ErrorCode/notFound`` where there is no such
    /// program (its ``CoveyError/resource`` is of kind `program`); ``ErrorCode/unsupported`` where it cannot be run.
    func exec(
        on node: NodeID, _ machine: VirtualMachine, _ command: ExecCommand, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws

    /// Connects to a program: what is kept of its output, then what comes, as ``exec(on:_:_:input:output:)``.
    ///
    /// For ``ExecRecord/main`` it waits until the machine's program runs, and for one that ended already it sends what
    /// is kept and its end, also when the machine has stopped or is being removed. Leaving ends only the connection.
    /// Errors: ``ErrorCode/notFound`` for an exec that is not known.
    func attach(
        on node: NodeID, _ machine: VirtualMachine, _ command: AttachCommand, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws

    /// Runs an ssh server in a guest for one connection: its bytes are `input` and the standard output of `output`. It
    /// ends with the call, at the latest when `input` does. Waits until the guest's agent is there.
    /// Errors: as ``exec(on:_:_:input:output:)``; ``ErrorCode/unsupported`` where the machine has no server,
    /// ``ErrorCode/notFound`` for a user that the guest has not, ``ErrorCode/exhausted`` for too many at once.
    func shell(
        on node: NodeID, _ machine: VirtualMachine, _ access: ShellAccess, id: String, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws

    /// The programs that Covey started in a guest, the machine's own included.
    func execs(on node: NodeID, _ machine: VirtualMachine) async throws -> [ExecRecord]

    /// Sends a signal to a program. Errors: ``ErrorCode/conflict`` where it does not run.
    func signal(on node: NodeID, _ machine: VirtualMachine, exec: String, signal: Int32) async throws

    /// A machine's logs, which outlive its runs; `output` is awaited.
    func logs(
        on node: NodeID, _ machine: VirtualMachine, _ query: LogQuery,
        output: @escaping @Sendable (LogChunk) async throws -> Void
    ) async throws

    /// A machine's serial console: what is kept of it, then what comes, until the machine has ended for good, while the
    /// caller's input goes to it where it is the one who writes. `output` is awaited; its first is a seat.
    /// Errors: ``ErrorCode/unsupported`` where the caller writes and the machine's console takes no input.
    func console(
        on node: NodeID, _ machine: VirtualMachine, _ query: ConsoleQuery, input: ConsoleInputs,
        output: @escaping @Sendable (ConsoleOutput) async throws -> Void
    ) async throws

    /// The stages of an operation with their live figures after each change, at most some ten a second; returns when
    /// the node has no more to say. An operation that the node does not know is no error.
    func progress(
        on node: NodeID, of operation: OperationID,
        output: @escaping @Sendable ([OperationStage]) async throws -> Void
    ) async throws

    /// What lies in quarantine.
    func leaks(on node: NodeID) async throws -> [Leak]

    /// What the node's disk is used for, and what would go if the images `without` did; images by their ids.
    func usage(on node: NodeID, without: Set<ImageID>) async throws -> NodeUsage

    /// Removes blobs that no image and no pull needs; nothing while an image is being made.
    func collectBlobs(on node: NodeID) async throws

    /// Removes one thing from quarantine; idempotent. Errors: ``ErrorCode/notFound``.
    func purge(on node: NodeID, leak id: String) async throws

    /// Begins a file that a caller streams. What is not imported goes away by itself.
    func openSpool(on node: NodeID, name: String) async throws -> SpoolToken

    /// Adds bytes to a part of it. Errors: ``ErrorCode/exhausted`` for a full disk or a file above the node's limit.
    func append(on node: NodeID, to spool: SpoolToken, _ part: SpoolPart, _ bytes: [UInt8]) async throws

    /// Adds zeros to a part of it, as a hole. Errors: as ``append(on:to:_:_:)``.
    func appendZeros(on node: NodeID, to spool: SpoolToken, _ part: SpoolPart, _ count: Int64) async throws

    /// What the catalogs that the node's configuration names offer, or one of them.
    func catalogEntries(on node: NodeID, of catalog: String?, insecure: Bool) async throws -> [CatalogEntry]

    /// Makes it whole and durable.
    func finishSpool(on node: NodeID, _ spool: SpoolToken) async throws

    /// Removes it; idempotent.
    func discardSpool(on node: NodeID, _ spool: SpoolToken) async throws

    /// Keeps a caller's credentials for a pull under a token of `a-z` and `0-9`, until the pull has ended.
    func keep(on node: NodeID, _ credentials: RegistryCredentials, as token: String) async throws

    /// An image's layers as an OCI layout in one tar, piece by piece; `output` is awaited.
    /// Errors: ``ErrorCode/notFound`` where a blob is not kept any more.
    func export(
        on node: NodeID, _ origin: ImageOrigin, output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws

    /// Forgets them; idempotent.
    func forget(on node: NodeID, access token: String) async throws

    /// Asks a registry whether it takes credentials. Errors: ``ErrorCode/unauthenticated``, ``ErrorCode/unavailable``.
    func checkLogin(
        on node: NodeID, registry: String, plainHTTP: Bool, _ credentials: RegistryCredentials
    ) async throws

    /// What the node can do for networks.
    func networkFacts(on node: NodeID) async throws -> NetworkHostFacts

    /// Who on the node listens on or holds ports that are to be published; empty where all are free. Ports that Covey
    /// itself has published are not told.
    func portHolders(on node: NodeID, _ ports: [PublishedPort]) async throws -> [PortHolder]

    /// What the programs in a guest listen on.
    /// Errors: ``ErrorCode/conflict`` where the machine does not run; ``ErrorCode/unavailable`` where its agent is not
    /// there.
    func listeningPorts(on node: NodeID, of machine: VirtualMachine) async throws -> [ListeningPort]

    /// Opens a stream into a machine and carries both its directions until it is over; it ends with the call. `input`
    /// waits for the caller's next bytes, and nil ends that direction; `output` is awaited, so that a slow caller slows
    /// the guest. Errors: ``ErrorCode/conflict`` where the machine does not run or something is in the way,
    /// ``ErrorCode/exhausted`` for a full file system in the guest, ``ErrorCode/unavailable`` where nobody listens.
    func stream(
        on node: NodeID, _ machine: VirtualMachine, _ purpose: MachineStream,
        input: @escaping @Sendable () async throws -> [UInt8]?,
        output: @escaping @Sendable (MachineStreamOutput) async throws -> Void
    ) async throws

    /// What a machine has used. Errors: ``ErrorCode/conflict`` where it does not run.
    func figures(on node: NodeID, of machine: VirtualMachine) async throws -> MachineFigures
}
