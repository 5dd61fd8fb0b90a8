internal import CoveyModel
internal import GRPCCore

/// The status of a failed call, all that gRPC has.
enum EtcdStatus: Int, CaseIterable, Sendable {
    case ok = 0
    case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
    case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, internalError, unavailable
    case dataLoss, unauthenticated
}

/// A call that failed.
struct EtcdFailure: Error {
    /// What it may have done.
    enum Kind: Sendable {
        /// It changes nothing, or the same however often it is sent.
        case repeatable
        /// It may change something, and must not be sent twice.
        case write
    }

    /// What the caller is to do.
    enum Verdict: Sendable {
        /// Ask another member; the error is for when there is none.
        case elsewhere(CoveyError)
        /// The answer is final.
        case final(CoveyError)
        /// The revision that was asked for is gone, or not there yet.
        case outOfRange(CoveyError)
        /// There is no room, and a write may have been the last that found some.
        case noSpace(CoveyError)
    }

    /// What was done, for people: `the etcd at 127.0.0.1:2379`.
    var place: String
    /// The status.
    var status: EtcdStatus
    /// The member's words, or the connection's; nothing is decided by them.
    var text: String
    /// Whether the request was handed to a connection: only then can it have happened.
    var sent: Bool

    /// What a failure means: the one place that knows.
    ///
    /// The texts of etcd are told on, never looked at: a code that stands for several things gets the remedy of all.
    func verdict(_ kind: Kind) -> Verdict {
        guard sent else {
            return .elsewhere(
                error(
                    .unavailable, "cannot be reached",
                    "see that etcd runs there, that the network lets us reach it, and that certificates fit"))
        }
        switch status {
        case .cancelled, .unknown, .deadlineExceeded, .aborted, .internalError, .unavailable, .ok:
            switch kind {
            case .repeatable:
                return .elsewhere(
                    error(
                        .unavailable, "does not answer",
                        "see with `etcdctl endpoint status --cluster` whether most members run and have a leader"))
            case .write:
                return .final(
                    error(
                        .outcomeUnknown, "did not say whether it wrote",
                        "see with `etcdctl endpoint status --cluster` whether most members run and have a leader"))
            }
        case .invalidArgument:
            return .final(
                error(
                    .invalid, "refused the request",
                    "give etcd --max-request-bytes of 1.5 MiB and --max-txn-ops of 128 at least (its defaults)"))
        case .notFound: return .final(error(.notFound, "does not have it", nil))
        case .alreadyExists: return .final(error(.conflict, "has it already", nil))
        case .permissionDenied:
            return .final(
                error(.denied, "forbids it", "give our user a role that reads and writes the store's prefix"))
        case .unauthenticated:
            return .final(
                error(.unauthenticated, "does not know us", "name a certificate that it takes: ?cert=FILE&key=FILE"))
        case .resourceExhausted:
            return .noSpace(
                error(
                    .exhausted, "has no room",
                    "compact and defragment it, or raise --quota-backend-bytes, then `etcdctl alarm disarm`; "
                        + "the daemon goes on by itself", retryable: true))
        case .failedPrecondition:
            return .elsewhere(
                error(.unavailable, "cannot do it now", "wait, or ask a voting member of etcd 3.4 or later"))
        case .outOfRange:
            return .outOfRange(error(.invalid, "does not have that revision", nil))
        case .unimplemented:
            return .final(error(.unsupported, "does not know the call", "use etcd 3.4 or later"))
        case .dataLoss:
            return .final(
                error(
                    .corrupt, "says that the cluster is corrupt",
                    "see `etcdctl alarm list`, replace the damaged member, or restore a snapshot"))
        }
    }

    private func error(_ code: ErrorCode, _ what: String, _ remedy: String?, retryable: Bool? = nil) -> CoveyError {
        CoveyError(
            code, "\(place) \(what)" + (text.isEmpty ? "" : ": \(text)"), remedy: remedy, retryable: retryable)
    }
}

extension EtcdFailure {
    /// Reads what a call threw.
    init(_ error: any Error, place: String, sent: Bool) {
        self.place = place
        self.sent = sent
        switch error {
        case let failure as EtcdFailure: self = failure
        case let error as RPCError:
            status = EtcdStatus(rawValue: error.code.rawValue) ?? .unknown
            text = error.cause.map { "\(error.message) (\($0))" } ?? error.message
        case let error as CoveyError where error.code == .deadline:
            status = .deadlineExceeded
            text = error.message
        case is CancellationError:
            status = .cancelled
            text = "the call was cancelled"
        case _:
            status = .unknown
            text = String(describing: error)
        }
    }
}
