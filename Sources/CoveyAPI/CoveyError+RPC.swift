package import CoveyModel
package import GRPCCore
package import GRPCProtobuf
internal import SwiftProtobuf

extension ErrorCode {
    /// The one mapping to the status codes of gRPC.
    package var rpcCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .notFound: .notFound
        case .conflict: .failedPrecondition
        case .unavailable: .unavailable
        case .denied: .permissionDenied
        case .unauthenticated: .unauthenticated
        case .exhausted: .resourceExhausted
        case .deadline: .deadlineExceeded
        case .cancelled: .cancelled
        case .outcomeUnknown: .aborted
        case .unsupported: .unimplemented
        case .corrupt: .dataLoss
        case .failure: .unknown
        case .internalError: .internalError
        }
    }

    /// What a status without our details means.
    package init(_ code: RPCError.Code) {
        self = ErrorCode.allCases.first { $0.rpcCode == code } ?? ErrorCode.others[code] ?? .internalError
    }

    private static let others: [RPCError.Code: ErrorCode] = [.alreadyExists: .conflict, .outOfRange: .invalid]
}

extension CoveyError {
    private static let domain = "covey.v1"

    /// The status with which the error travels: `google.rpc.ErrorInfo` for any client, `covey.v1.Error` without loss.
    package var rpcStatus: GoogleRPCStatus {
        var details = [ErrorDetails.errorInfo(reason: code.rawValue, domain: CoveyError.domain)]
        do {
            details.append(.any(try Google_Protobuf_Any(message: Covey_V1_Error(self))))
        } catch {
            // Packing fails for missing required fields only, and proto3 has none: the bare status remains.
        }
        return GoogleRPCStatus(code: code.rpcCode, message: message, details: details)
    }

    /// The error that a status carries: the one that was sent, or for a status of another origin what its code says.
    package init(_ status: RPCError) {
        if let sent = CoveyError.sent(status) {
            self = sent
            return
        }
        let code = ErrorCode(status.code)
        self.init(code, status.message.isEmpty ? "the call failed: \(status.code)" : status.message)
        if let cause = status.cause { causes = [String(describing: cause)] }
    }

    private static func sent(_ status: RPCError) -> CoveyError? {
        do {
            guard let details = try status.unpackGoogleRPCStatus()?.details else { return nil }
            for case let any? in details.map(\.any) where any.isA(Covey_V1_Error.self) {
                return try CoveyError(Covey_V1_Error(unpackingAny: any))
            }
        } catch {
            // Details that cannot be read, of a newer daemon say, leave the status itself.
        }
        return nil
    }
}
