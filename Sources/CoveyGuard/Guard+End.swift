internal import CoveyGuardProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

extension Guard {
    /// How long clients wait for the last bytes of a log after a process has ended.
    private static let drainPatience = Duration.milliseconds(500)
    /// How long killing and removing may take.
    private static let killPatience = Duration.seconds(10)

    /// The descriptor of a process is readable.
    func processMayHaveEnded(_ name: String) {
        guard let process = live[name] else { return }
        do throws(SystemError) {
            guard let ending = try process.descriptor.reap() else { return }
            switch ending {
            case .exited(let status): processEnded(name, .exited(status))
            case .signalled(let signal): processEnded(name, .signalled(signal))
            }
        } catch { processEnded(name, .unknown) }
    }

    /// Notes an end, takes what is left in the logs' pipes, and tells who waits.
    func processEnded(_ name: String, _ end: GuardedEnd) {
        if let process = live.removeValue(forKey: name) { loop.remove(process.descriptor.raw) }
        table.ended(name, end)
        saveOrNote()
        finishLogs(name)
    }

    /// Takes what the pipes of a process that has ended still hold, then tells who waits.
    func finishLogs(_ name: String) {
        let fifos = (table[name]?.outlets ?? []).map(\.fifo)
        guard !fifos.isEmpty else { return announce(name) }
        draining[name] = Set(fifos)
        for fifo in fifos { drain.finish(fifo) }
        loop.after(Self.drainPatience) { [unowned self] in announce(name) }
    }

    /// The draining thread has something to say.
    func drainHasProgressed() {
        let progress = drain.takeProgress()
        for fifo in progress.finished {
            for name in draining.keys.sorted() where draining[name]?.remove(fifo) != nil {
                guard draining[name]?.isEmpty == true else { continue }
                draining[name] = nil
                announced.remove(name)
                announce(name)
            }
        }
        if let pipes = progress.paused { drainHasPaused(pipes) }
    }

    private func announce(_ name: String) {
        guard let record = table[name], record.hasEnded else { return }
        if draining[name] != nil { announced.insert(name) }
        for waiter in waiters.removeValue(forKey: name) ?? [] { waiter.reply(.process(record.process)) }
    }

    /// Kills all in a process's group and answers when nobody is left.
    func kill(_ name: String, _ reply: @escaping Reply) {
        guard table[name] != nil else { return reply(.failure(.notFound("process", name))) }
        endAll(name, until: .now + Self.killPatience) { error in
            reply(error.map { .failure($0) } ?? .done)
        }
    }

    /// Removes what is left of a process that has ended, then its record.
    func forget(_ name: String, _ reply: @escaping Reply) {
        do throws(CoveyError) {
            try GuardSpawn.checkName(name)
            try table.checkForget(name)
        } catch { return reply(.failure(error)) }
        guard table[name] != nil else { return reply(.done) }
        let deadline = ContinuousClock.now + Self.killPatience
        endAll(name, until: deadline) { [unowned self] error in
            if let error { return reply(.failure(error)) }
            remove(name, until: deadline, reply)
        }
    }

    private func remove(_ name: String, until deadline: ContinuousClock.Instant, _ reply: @escaping Reply) {
        do {
            // A log on a disk that stalls holds nobody up for ever; its pipe is removed when the disk is back.
            let isLate = ContinuousClock.now >= deadline
            if try groups.remove(name), draining[name] == nil || isLate {
                table.forget(name)
                saveOrNote()
                for waiter in waiters.removeValue(forKey: name) ?? [] {
                    waiter.reply(.failure(.notFound("process", name)))
                }
                return reply(.done)
            }
            if isLate {
                throw CoveyError(.deadline, "the control group of process \(name) did not become empty")
            }
        } catch { return reply(.failure(.wrapping(error))) }
        loop.after(.milliseconds(5)) { [unowned self] in remove(name, until: deadline, reply) }
    }

    private func endAll(
        _ name: String, until deadline: ContinuousClock.Instant, delay: Duration = .milliseconds(1),
        _ done: @escaping (CoveyError?) -> Void
    ) {
        do {
            try groups.kill(name)
            do throws(SystemError) { try live[name]?.descriptor.send(SIGKILL) } catch {
                guard error.isErrno(ESRCH) else { throw error }
            }
            if live[name] == nil, try groups.members(name).isEmpty { return done(nil) }
            guard ContinuousClock.now < deadline else {
                throw CoveyError(
                    .deadline, "process \(name) did not end after SIGKILL",
                    remedy: "it waits for a device or a file system that does not answer; try again when it does")
            }
        } catch { return done(.wrapping(error)) }
        loop.after(delay) { [unowned self] in
            endAll(name, until: deadline, delay: min(delay * 2, .milliseconds(50)), done)
        }
    }
}
