package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

extension VirtualMachineService {
    package func exec(
        request: RPCAsyncSequence<Covey_V1_ExecRequest, any Error>, response: RPCWriter<Covey_V1_ExecResponse>,
        context call: ServerContext
    ) async throws {
        let reader = RequestReader(request)
        guard case .start(let start) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of an exec is not its start")
        }
        let program = Program(start.program)
        try context.validation.check(program)
        let command = ExecCommand(
            id: context.requestID(start.requestID), program: program, detach: start.detach,
            size: start.hasSize ? try TerminalSize(start.size) : nil)
        let machine = try await running(try await machine(start.tenant, start.name))
        let input = ExecInputs {
            guard let message = try await reader.next() else { return nil }
            guard case .input(let input) = message.request else {
                throw CoveyError(.invalid, "a later message of an exec is no input")
            }
            return try ExecInput(input)
        }
        try await context.gateway.exec(on: node(of: machine), machine, command, input: input) { output in
            try await response.write(Covey_V1_ExecResponse(output))
        }
    }

    package func attach(
        request: RPCAsyncSequence<Covey_V1_AttachRequest, any Error>, response: RPCWriter<Covey_V1_ExecResponse>,
        context call: ServerContext
    ) async throws {
        let reader = RequestReader(request)
        guard case .start(let start) = try await reader.first().request else {
            throw CoveyError(.invalid, "the first message of an attach is not its start")
        }
        let command = AttachCommand(
            exec: start.exec.isEmpty ? ExecRecord.main : start.exec,
            stdoutOffset: start.hasStdoutOffset ? start.stdoutOffset : nil,
            stderrOffset: start.hasStderrOffset ? start.stderrOffset : nil,
            size: start.hasSize ? try TerminalSize(start.size) : nil,
            recent: start.hasRecent ? max(0, start.recent) : nil)
        let machine = try await machine(start.tenant, start.name)
        let input = ExecInputs {
            guard let message = try await reader.next() else { return nil }
            guard case .input(let input) = message.request else {
                throw CoveyError(.invalid, "a later message of an attach is no input")
            }
            return try ExecInput(input)
        }
        try await context.gateway.attach(on: node(of: machine), machine, command, input: input) { output in
            try await response.write(Covey_V1_ExecResponse(output))
        }
    }

    package func listExecs(
        request: Covey_V1_ListExecsRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListExecsResponse {
        let machine = try await machine(request.tenant, request.name)
        let node = node(of: machine)
        let execs = try await context.bounded("listing the programs of vm \(machine.metadata.name)") { gateway in
            try await gateway.execs(on: node, machine)
        }
        var response = Covey_V1_ListExecsResponse()
        response.items = execs.map { Covey_V1_Exec($0) }
        return response
    }

    package func signalExec(
        request: Covey_V1_SignalExecRequest, context call: ServerContext
    ) async throws -> Covey_V1_SignalExecResponse {
        let number = request.hasSignal ? request.signal : nil
        if let number, !(1...64).contains(number) {
            throw CoveyError(.invalid, "there is no signal \(number)", remedy: "signals are 1 to 64")
        }
        guard !request.exec.isEmpty else { throw CoveyError(.invalid, "the request names no exec") }
        let machine = try await machine(request.tenant, request.name)
        let node = node(of: machine)
        let exec = request.exec
        try await context.bounded("signalling exec \(exec) of vm \(machine.metadata.name)") { gateway in
            let known = try await gateway.execs(on: node, machine).first { $0.id == exec }
            guard let known else {
                throw CoveyError.notFound("exec", exec, remedy: "covey exec ls \(machine.metadata.name) lists them")
            }
            guard known.running else { throw CoveyError(.conflict, "exec \(exec) has ended") }
            // A shell with a terminal ignores SIGTERM, and takes a hang-up for its end.
            let signal = number ?? (known.terminal ? 1 : 15)
            try await gateway.signal(on: node, machine, exec: exec, signal: signal)
        }
        return Covey_V1_SignalExecResponse()
    }

    package func logs(
        request: Covey_V1_LogsRequest, response: RPCWriter<Covey_V1_LogsResponse>, context call: ServerContext
    ) async throws {
        let machine = try await machine(request.tenant, request.name)
        let source: LogQuery.Source
        if request.console {
            source = .console
        } else if request.hasExec {
            source = .exec(request.exec)
        } else {
            source = machine.spec.program == nil ? .console : .exec(ExecRecord.main)
        }
        let query = LogQuery(
            source, follow: request.follow, since: request.hasSince ? try Timestamp(request.since) : nil,
            tail: request.hasTail ? try tail(request.tail) : nil)
        try await context.gateway.logs(on: node(of: machine), machine, query) { chunk in
            try await response.write(Covey_V1_LogsResponse(chunk))
        }
    }

    private func tail(_ count: Int64) throws(CoveyError) -> Int {
        guard (0...1_000_000).contains(count) else {
            throw CoveyError(.invalid, "the last \(count) lines cannot be had", remedy: "ask for 0 to 1000000")
        }
        return Int(count)
    }

    /// The node that has a machine.
    func node(of machine: VirtualMachine) -> NodeID { machine.status.node ?? context.settings.node }

    /// Waits for a machine that is on its way up. Errors: ``ErrorCode/conflict`` for one that is not.
    func running(_ machine: VirtualMachine) async throws -> VirtualMachine {
        if try isRunning(machine) { return machine }
        let id = machine.metadata.id
        for try await change in context.repositories.machines.watch(try Tenant(machine.metadata.tenant)) {
            switch change {
            case .listed(let listing):
                guard let now = listing.items.first(where: { $0.metadata.id == id }) else {
                    throw CoveyError.notFound("vm", machine.metadata.name)
                }
                if try isRunning(now) { return now }
            case .updated(let now):
                if now.metadata.id == id, try isRunning(now) { return now }
            case .removed(let gone):
                if gone == id { throw CoveyError.notFound("vm", machine.metadata.name) }
            case .setAside: continue
            }
        }
        throw CoveyError(.unavailable, "the watch of vm \(machine.metadata.name) ended")
    }

    /// Whether it runs; false while it is on its way up.
    private func isRunning(_ machine: VirtualMachine) throws -> Bool {
        let name = machine.metadata.name
        let phase = machine.status.phase
        switch phase {
        case .running: return true
        case .pending, .scheduled, .preparing, .starting, .unknown:
            if machine.spec.wanted == .running { return false }
        case .paused, .stopping, .stopped, .failed, .deleting: break
        }
        throw CoveyError(
            .conflict, "vm \(name) is \(phase.rawValue)",
            remedy: phase == .failed ? "see why: covey vm inspect \(name)" : "start it: covey vm start \(name)",
            resource: ResourceReference("vm", name))
    }
}
