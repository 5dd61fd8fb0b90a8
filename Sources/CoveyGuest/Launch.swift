internal import CCovey
internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What every program of a machine gets.
struct ProgramDefaults {
    var environment: [String: String] = [:]
    var folder: String?
    var user: String?
    var resetsOOMScore = false
}

extension ProgramDefaults {
    /// What the machine's configuration says.
    init(_ configuration: GuestConfiguration, resetsOOMScore: Bool) {
        let trusted = configuration.certificates.isEmpty ? [:] : TrustedCertificates.environment
        environment = trusted.merging(configuration.image.environment) { $1 }
            .merging(configuration.environment) { $1 }
        folder = configuration.image.workingDirectory
        user = configuration.image.user
        self.resetsOOMScore = resetsOOMScore
    }
}

/// A program that runs.
struct LaunchedProgram {
    var pid: Int32
    var pidfd: Int32
    /// What the agent writes standard input to; with a terminal, a second descriptor of its master.
    var input: Int32?
    var output: Int32
    var error: Int32?
}

/// A program that could not be started.
struct LaunchFailure: Error {
    var exit: GuestExit
    init(_ code: Int32, _ message: String) { exit = .notStarted(code: code, message: message) }
}

/// The path list where neither image nor request has one.
let defaultSearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/// Where the programs are that images may lack; looked into last.
let toolPrograms = "/run/covey/tools/bin"

/// Starts a program with its descriptors.
func launch(_ request: GuestExecRequest, _ defaults: ProgramDefaults) throws(LaunchFailure) -> LaunchedProgram {
    let program = request.program
    guard let name = program.arguments.first, !name.isEmpty else { throw LaunchFailure(127, "no program is named") }
    let user = program.user ?? defaults.user
    guard let identity = Accounts.ofThisRoot().identity(user) else {
        throw LaunchFailure(125, "the machine has no user or group \(user ?? "root")")
    }
    var environment = defaults.environment.merging(program.environment) { $1 }
    if environment["PATH"] == nil { environment["PATH"] = defaultSearchPath }
    if environment["HOME"] == nil { environment["HOME"] = identity.home }
    if environment["TERM"] == nil && program.terminal { environment["TERM"] = "xterm" }
    let candidates =
        name.contains("/")
        ? [name]
        : (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" } + ["\(toolPrograms)/\(name)"]
    let descriptors = try openDescriptors(request, owner: identity)
    defer { for descriptor in Set(descriptors.theirs) { close(descriptor) } }
    var pidfd: Int32 = -1
    var result = covey_program()
    let pid = withStrings(candidates) { candidates in
        withStrings(program.arguments) { arguments in
            withStrings(environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }) { environment in
                (program.workingDirectory ?? defaults.folder ?? "/").withCString { folder in
                    identity.groups.withUnsafeBufferPointer { groups in
                        candidates.withMemoryRebound(to: UnsafePointer<CChar>?.self, capacity: 1) { candidates in
                            result.candidates = UnsafePointer(candidates)
                            result.arguments = UnsafePointer(arguments)
                            result.environment = UnsafePointer(environment)
                            result.folder = folder
                            result.user = identity.user
                            result.group = identity.group
                            result.groups = groups.baseAddress
                            result.group_count = groups.count
                            result.descriptors = (descriptors.theirs[0], descriptors.theirs[1], descriptors.theirs[2])
                            result.controls_terminal = program.terminal ? 1 : 0
                            result.resets_oom_score = defaults.resetsOOMScore ? 1 : 0
                            return covey_guest_spawn(&result, &pidfd)
                        }
                    }
                }
            }
        }
    }
    guard pid > 0 else {
        let failure = errno
        for descriptor in Set(descriptors.ours) { close(descriptor) }
        throw explain(result.failed_stage, failure, program, defaults)
    }
    return LaunchedProgram(
        pid: pid, pidfd: pidfd, input: descriptors.input, output: descriptors.output, error: descriptors.error)
}

private func explain(
    _ stage: Int32, _ failure: Int32, _ program: Program, _ defaults: ProgramDefaults
) -> LaunchFailure {
    let reason = String(cString: strerror(failure))
    switch Int(stage) {
    case COVEY_PROGRAM_EXEC:
        let name = program.arguments.first ?? ""
        if failure == ENOENT || failure == ENOTDIR { return LaunchFailure(127, "\(name): not found in the machine") }
        return LaunchFailure(126, "\(name) cannot be executed: \(reason)")
    case COVEY_PROGRAM_FOLDER:
        return LaunchFailure(125, "folder \(program.workingDirectory ?? defaults.folder ?? "/"): \(reason)")
    case COVEY_PROGRAM_USER: return LaunchFailure(125, "user \(program.user ?? defaults.user ?? "root"): \(reason)")
    case COVEY_PROGRAM_TERMINAL: return LaunchFailure(125, "terminal: \(reason)")
    case _: return LaunchFailure(125, "the machine could not start a process: \(reason)")
    }
}

private struct Descriptors {
    var theirs: [Int32] = []
    var input: Int32?
    var output: Int32 = -1
    var error: Int32?
    var ours: [Int32] { [input, output, error].compactMap(\.self) }
}

private func openDescriptors(
    _ request: GuestExecRequest, owner: Identity
) throws(LaunchFailure) -> Descriptors {
    var result = Descriptors()
    do throws(SystemError) {
        if request.program.terminal {
            var master: Int32 = -1
            var slave: Int32 = -1
            try check("open", "/dev/ptmx") { covey_open_terminal(&master, &slave) }
            _ = covey_resize_terminal(master, request.terminalSize.rows, request.terminalSize.columns)
            // Group tty where the image has it under Debian's and Alpine's number; a file system may refuse.
            _ = fchown(slave, owner.user, 5)
            result.theirs = [slave, slave, slave]
            result.output = master
            result.input = try check("fcntl F_DUPFD_CLOEXEC") { fcntl(master, F_DUPFD_CLOEXEC, 3) }
            return result
        }
        if request.program.standardInput {
            var input = try makePipe()
            result.theirs = [input.takeFirst().release()]
            let writer = input.takeSecond()
            try setNonBlocking(writer.raw)
            result.input = writer.release()
        } else {
            result.theirs = [try openFile("/dev/null", .readOnly).release()]
        }
        let output = try outputPipe(&result)
        result.output = output
        result.error = try outputPipe(&result)
        return result
    } catch {
        for descriptor in Set(result.theirs + result.ours) where descriptor >= 0 { close(descriptor) }
        throw LaunchFailure(125, "the machine could not start a process: \(error)")
    }
}

/// Calls `body` with a NULL-terminated array of C strings.
func withStrings<R>(_ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R) -> R {
    var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("an array with an element has a base") }
        return body(base)
    }
}

/// Adds a pipe's writing end to the program's descriptors, and returns the reading end, which never blocks.
private func outputPipe(_ result: inout Descriptors) throws(SystemError) -> Int32 {
    var pipe = try makePipe()
    let reader = pipe.takeFirst()
    try setNonBlocking(reader.raw)
    result.theirs.append(pipe.takeSecond().release())
    return reader.release()
}
