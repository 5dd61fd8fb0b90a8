internal import CCovey
internal import CoveyModel
internal import Glibc

/// A process to start, down to the numbers of its descriptors. Source: clone(2), credentials(7), capabilities(7).
package struct SpawnPlan: Sendable {
    /// Whose rights the process gets.
    package enum Rights: Hashable, Sendable {
        /// The caller's own.
        case inherited
        /// This uid and gid, just these groups, no capability, no way to new privileges, no core dumps.
        case confined(user: UInt32, groups: [UInt32] = [])
    }

    /// The program, absolute, and its arguments.
    package var arguments: [String]
    /// `KEY=VALUE`, the whole environment.
    package var environment: [String]
    /// The folder it starts in.
    package var workingDirectory: String
    /// The process's number for a descriptor, and ours. All others are closed; 0 to 2 are `/dev/null` where missing.
    package var descriptors: [Int32: Int32]
    /// Opened `cgroup.procs` files of the control groups to join.
    package var groups: [Int32]
    /// Whose rights it gets.
    package var rights: Rights
    /// Whether it gets new network, IPC and UTS namespaces.
    package var isIsolated: Bool
    /// Open files; nil leaves the caller's limit.
    package var openFiles: Int?

    /// Makes a plan.
    package init(
        arguments: [String], environment: [String] = [], workingDirectory: String = "/",
        descriptors: [Int32: Int32] = [:], groups: [Int32] = [], rights: Rights, isIsolated: Bool = false,
        openFiles: Int? = nil
    ) {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.descriptors = descriptors
        self.groups = groups
        self.rights = rights
        self.isIsolated = isIsolated
        self.openFiles = openFiles
    }

    /// Starts the process as our child, in a session of its own, and returns when it has called `execve`.
    ///
    /// The calling thread stands still meanwhile. Errors: the errno of the step that failed; nothing is left then.
    package func start() throws(SystemError) -> SpawnedProcess {
        let (pid, pidfd) = try run(flags: 0)
        return SpawnedProcess(pid: pid, descriptor: ProcessDescriptor(owning: pidfd))
    }

    /// Starts the process as a child of init, so that it outlives us and leaves no zombie to us. Returns its pid.
    package func startDetached() throws(SystemError) -> Int32 {
        try run(flags: Int32(COVEY_SPAWN_DETACH)).pid
    }

    private func run(flags: Int32) throws(SystemError) -> (pid: Int32, pidfd: Int32) {
        guard let program = arguments.first else { throw SystemError("execve", "", errno: EINVAL) }
        let null = try openFile("/dev/null", .readWrite)
        var map = descriptors
        for number in Int32(0)...2 where map[number] == nil { map[number] = null.raw }
        let targets = map.keys.sorted()
        let sources = targets.compactMap { map[$0] }
        var request = covey_spawn()
        request.flags = flags
        if isIsolated { request.flags |= Int32(COVEY_SPAWN_ISOLATE) }
        var supplementary: [UInt32] = []
        if case .confined(let user, let groups) = rights {
            supplementary = groups
            request.flags |= Int32(COVEY_SPAWN_CONFINE)
            request.user = user
            request.group = user
        }
        request.open_files = UInt64(openFiles ?? 0)
        request.descriptor_count = targets.count
        request.group_count = groups.count
        request.supplementary_count = supplementary.count
        var pid: Int32 = 0
        var pidfd: Int32 = -1
        var stage: Int32 = 0
        let error = withStrings(arguments) { arguments in
            withStrings(environment) { environment in
                workingDirectory.withCString { directory in
                    sources.withUnsafeBufferPointer { sources in
                        targets.withUnsafeBufferPointer { targets in
                            withGroups(supplementary) { groups, supplementary in
                                request.supplementary = supplementary.baseAddress
                                request.path = UnsafePointer(arguments[0])
                                request.arguments = UnsafePointer(arguments)
                                request.environment = UnsafePointer(environment)
                                request.directory = directory
                                request.sources = sources.baseAddress
                                request.targets = targets.baseAddress
                                request.groups = groups.baseAddress
                                return covey_spawn(&request, &pid, &pidfd, &stage)
                            }
                        }
                    }
                }
            }
        }
        if error != 0 { throw failure(stage: Int(stage), error, program) }
        return (pid, pidfd)
    }

    private func withGroups<R>(
        _ supplementary: [UInt32], _ body: (UnsafeBufferPointer<Int32>, UnsafeBufferPointer<UInt32>) -> R
    ) -> R {
        groups.withUnsafeBufferPointer { groups in
            supplementary.withUnsafeBufferPointer { body(groups, $0) }
        }
    }

    private func failure(stage: Int, _ error: Int32, _ program: String) -> SystemError {
        switch stage {
        case COVEY_STAGE_CLONE: SystemError("clone", program, errno: error)
        case COVEY_STAGE_SESSION: SystemError("setsid", program, errno: error)
        case COVEY_STAGE_CGROUP: SystemError("write cgroup.procs", program, errno: error)
        case COVEY_STAGE_LIMITS: SystemError("setrlimit", program, errno: error)
        case COVEY_STAGE_DESCRIPTORS: SystemError("dup3", program, errno: error)
        case COVEY_STAGE_DIRECTORY: SystemError("chdir", workingDirectory, errno: error)
        case COVEY_STAGE_PRIVILEGES: SystemError("setresuid", program, errno: error)
        case COVEY_STAGE_EXEC: SystemError("execve", program, errno: error)
        case let stage: SystemError("clone, stage \(stage)", program, errno: error)
        }
    }
}

/// A child that was just started.
package struct SpawnedProcess: ~Copyable, Sendable {
    /// Its pid.
    package let pid: Int32
    /// Its descriptor.
    package let descriptor: ProcessDescriptor

    /// Gives the descriptor away.
    package consuming func takeDescriptor() -> ProcessDescriptor { descriptor }
}

/// Replaces this process by another program; returns only where that failed.
package func replaceProcess(arguments: [String], environment: [String]) -> SystemError {
    withStrings(arguments) { arguments in
        withStrings(environment) { environment in
            guard let program = arguments[0] else { return SystemError("execve", "", errno: EINVAL) }
            _ = execve(program, arguments, environment)
            return SystemError("execve", String(cString: program))
        }
    }
}

/// `KEY=VALUE` of this process's environment.
package func currentEnvironment() -> [String] {
    guard let bytes = try? readFile("/proc/self/environ", limit: 4 << 20) else { return [] }
    return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
}

/// A null-terminated array of C strings, valid during `body`.
private func withStrings<R>(
    _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
    var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeMutableBufferPointer { buffer in
        // The array holds at least the terminator, so its base address exists.
        guard let base = buffer.baseAddress else { preconditionFailure("an array without storage") }
        return body(base)
    }
}
