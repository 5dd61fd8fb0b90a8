internal import CoveyModel
internal import CoveyStore

/// The revision that was asked for is gone, or not there yet; etcd says both with one code.
struct OutOfRangeError: Error {
    /// For whoever does not tell the two apart.
    var error: CoveyError
}

extension EtcdPool {
    /// Makes a call on one member after the other until one answers, the answer is final, or the time is over.
    ///
    /// - Parameters:
    ///   - kind: A write is sent once at most, unless it surely never left.
    ///   - isRead: Whether an answer older than what was seen before is refused: members of 3.4 may give one.
    /// - Throws: ``CoveyError`` as ``EtcdFailure/verdict(_:)`` has it; ``OutOfRangeError``; `CancellationError`
    ///   between two attempts.
    func perform<Request, Response>(
        _ method: EtcdMethod<Request, Response>, _ request: Request, on lane: EtcdLane, _ kind: EtcdFailure.Kind,
        isRead: Bool = false
    ) async throws -> Response {
        let deadline = clock.elapsed() + times.call
        let floor = newest
        var last = CoveyError(
            .unavailable, "no member of \(address) answered in time", remedy: "see that etcd runs there")
        while true {
            try Task.checkCancellation()
            let index = try await choose()
            let left = deadline - clock.elapsed()
            guard left > .zero else { throw last }
            let connection = try connection(lane, index)
            do throws(EtcdFailure) {
                try await know(index, within: min(left, times.read))
                let limit = min(left, kind == .write ? times.write : times.read)
                let response =
                    switch kind {
                    case .repeatable: try await connection.call(method, request, within: limit)
                    case .write: try await write(method, request, connection, index, within: limit)
                    }
                let revision = Revision(method.header(response).revision)
                guard isOurs(method.header(response)), !isRead || revision >= floor else {
                    throw EtcdFailure(
                        place: connection.place, status: kind == .write ? .unknown : .failedPrecondition,
                        text: "it answered revision \(revision), and \(floor) was there before", sent: true)
                }
                worked(index)
                return response
            } catch {
                // A member without a leader says so at once.
                let answered = error.sent && error.status == .unavailable
                switch error.verdict(kind) {
                case .elsewhere(let failure):
                    failed(index, answered: answered)
                    if error.status == .deadlineExceeded { abandon(lane, index, connection) }
                    last = await explained(failure)
                case .final(let failure):
                    // After a lost answer the next call is better off elsewhere.
                    if failure.code == .outcomeUnknown { failed(index, answered: answered) }
                    if error.status == .deadlineExceeded { abandon(lane, index, connection) }
                    throw await explained(failure)
                case .outOfRange(let failure): throw OutOfRangeError(error: failure)
                case .noSpace(let failure):
                    guard kind == .write else { throw failure }
                    throw await settleNoSpace(failure, index)
                }
            }
        }
    }

    /// Sends a write, and gives it up early where another leader has come since: what was on its way to the one before is
    /// lost as a rule, and the member would say so only after its own 7 s. Its outcome is unknown as ever.
    private func write<Request, Response>(
        _ method: EtcdMethod<Request, Response>, _ request: Request, _ connection: EtcdConnection, _ index: Int,
        within limit: Duration
    ) async throws(EtcdFailure) -> Response {
        let term = term
        let outcome = await withTaskGroup(of: Result<Response, EtcdFailure>?.self) { group in
            group.addTask {
                do throws(EtcdFailure) {
                    return .success(try await connection.call(method, request, within: limit))
                } catch { return .failure(error) }
            }
            group.addTask {
                guard await self.isLed(index, after: term) else { return nil }
                return .failure(
                    EtcdFailure(
                        place: connection.place, status: .unknown, text: "another leader came since", sent: true))
            }
            while let ended = await group.next() {
                guard let ended else { continue }
                group.cancelAll()
                return ended
            }
            return .failure(
                EtcdFailure(place: connection.place, status: .cancelled, text: "the call was cancelled", sent: true))
        }
        return try outcome.get()
    }

    /// Waits until a member has a leader of a later term; false where that cannot be told.
    private func isLed(_ index: Int, after term: UInt64) async -> Bool {
        guard term > 0 else { return false }
        do {
            try await clock.sleep(clock.elapsed() + .milliseconds(1500))
            while true {
                let status = try await connection(.looks, index).call(
                    .status, Etcdserverpb_StatusRequest(), within: times.read, needsLeader: false)
                if status.leader != 0 && status.raftTerm > term { return true }
                try await clock.sleep(clock.elapsed() + .milliseconds(500))
            }
        } catch {
            // The write itself tells.
            return false
        }
    }

    /// Sees, once, that a member is one of our cluster, before anything is written through it.
    func know(_ index: Int, within limit: Duration) async throws(EtcdFailure) {
        if isKnown(index) { return }
        let connection: EtcdConnection
        do { connection = try self.connection(.looks, index) } catch {
            throw EtcdFailure(error, place: "the etcd at \(address.endpoints[index])", sent: false)
        }
        let status: Etcdserverpb_StatusResponse
        do throws(EtcdFailure) {
            status = try await connection.call(.status, Etcdserverpb_StatusRequest(), within: limit, needsLeader: false)
        } catch {
            if error.status == .deadlineExceeded { abandon(.looks, index, connection) }
            // Whatever it is, the call that comes after was not sent.
            throw EtcdFailure(place: error.place, status: error.status, text: error.text, sent: false)
        }
        guard isOurs(status.header) else {
            throw EtcdFailure(
                place: connection.place, status: .failedPrecondition, text: "it belongs to another cluster",
                sent: false)
        }
        if status.isLearner {
            throw EtcdFailure(
                place: connection.place, status: .failedPrecondition, text: "it is a learner, which answers nothing",
                sent: false)
        }
        learn(index, version: status.version)
    }

    /// What a write without room means. A write that crosses the bound is carried out and told to have failed, so
    /// only with the alarm known before it was sent the failure is sure.
    private func settleNoSpace(_ failure: CoveyError, _ index: Int) async -> CoveyError {
        if isAlarmKnown { return failure }
        do {
            let response = try await connection(.looks, index).call(
                .alarm, Etcdserverpb_AlarmRequest(), within: times.read)
            if response.alarms.contains(where: { $0.alarm == .nospace }) { noteAlarm() }
        } catch {
            // The next write looks again.
        }
        return CoveyError(.outcomeUnknown, failure.message, remedy: failure.remedy)
    }
}
