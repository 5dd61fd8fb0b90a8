internal import CoveyGuardProtocol
internal import CoveyModel
internal import CoveyVMM

/// What a guard says of itself.
package struct GuardDescription: Hashable, Sendable {
    /// The program's version.
    package var version: String
    /// Its pid.
    package var processID: Int32
    /// How often it has replaced itself by exec.
    package var replacements: Int

    init(_ facts: GuardFacts) {
        version = facts.programVersion
        processID = facts.pid
        replacements = Int(facts.replacements)
    }
}

extension GuardSpawn {
    init(_ request: SpawnRequest, mark: String) {
        self.init(name: request.name, mark: mark, arguments: request.arguments, user: request.user)
        groups = request.groups
        environment = request.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        workingDirectory = request.workingDirectory
        descriptorNumbers = request.descriptors.map(\.number)
        console = request.console.map { GuardConsole(number: $0.number, path: $0.path, limit: $0.limit) }
        errorLog = request.errorLog
        isolatesNetwork = request.isolatesNetwork
        memory = request.limits.memory
        tasks = request.limits.tasks.map { Int32(clamping: $0) }
        milliCPUs = request.limits.cpus.map { Int32(min(max($0, 0), 1_000_000) * 1000) }
        openFiles = request.limits.openFiles.map { Int32(clamping: $0) }
    }
}

extension SupervisedProcess {
    init(_ process: GuardedProcess) {
        let end: End? =
            switch process.end {
            case .exited(let status): .known(.exited(status))
            case .signalled(let signal): .known(.signalled(signal))
            case .unknown: .unknown
            case nil: nil
            }
        self.init(
            name: process.name,
            identity: ProcessIdentity(pid: process.pid, startTime: process.startTime, bootID: process.bootID), end: end)
    }
}
