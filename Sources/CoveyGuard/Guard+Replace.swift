internal import CoveyGuardProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A replacement that waits for the draining thread to stand still.
struct Replacement {
    let path: String
    let reply: Guard.Reply
    let timer: EventLoop.Timer
}

extension Guard {
    private static let pausePatience = Duration.seconds(3)

    /// Goes on as another program, by exec: children stay children, so that their status stays known. Listening
    /// socket, lock and pipes stay open. Answers only where that fails.
    func replace(by path: String, _ reply: @escaping Reply) {
        do {
            guard replacing == nil else { throw CoveyError(.conflict, "the guard is being replaced already") }
            try checkProgram(path)
        } catch { return reply(.failure(.wrapping(error))) }
        for connection in connections.values { connection.pause(true) }
        let timer = loop.after(Self.pausePatience) { [unowned self] in
            giveUp(CoveyError(.unavailable, "a log's disk does not answer, so the guard was not replaced"))
        }
        replacing = Replacement(path: path, reply: reply, timer: timer)
        drain.pause()
    }

    /// The draining thread stands still.
    func drainHasPaused(_ pipes: [String: Int32]) {
        guard let replacement = replacing else { return drain.resume() }
        do {
            let state = state(pipes: pipes)
            let memory = try memoryFile(named: "covey-guard", state.encoded)
            let kept = [listener.raw, lock.raw, memory.raw] + pipes.values
            for descriptor in kept { try setCloseOnExec(descriptor, false) }
            let handover = GuardOptions.Handover(socket: listener.raw, lock: lock.raw, state: memory.raw)
            let error = replaceProcess(
                arguments: [replacement.path] + options.successor(handover), environment: currentEnvironment())
            for descriptor in kept { try setCloseOnExec(descriptor) }
            throw error
        } catch { giveUp(.wrapping(error, "the guard was not replaced")) }
    }

    private func giveUp(_ error: CoveyError) {
        guard let replacement = replacing else { return }
        replacing = nil
        loop.cancel(replacement.timer)
        drain.resume()
        for connection in connections.values { connection.pause(false) }
        replacement.reply(.failure(error))
    }

    private func checkProgram(_ path: String) throws {
        guard path.hasPrefix("/") else { throw CoveyError(.invalid, "program \(path) is not absolute") }
        var information = stat()
        try check("stat", path) { stat(path, &information) }
        guard information.st_mode & S_IFMT == S_IFREG, information.st_mode & 0o111 != 0 else {
            throw CoveyError(.invalid, "\(path) is no program")
        }
        let isOurs = information.st_uid == 0 || information.st_uid == geteuid()
        guard isOurs, information.st_mode & 0o022 == 0 else {
            throw CoveyError(
                .denied, "program \(path) can be changed by others", remedy: "give it to root, mode 0755")
        }
    }
}
