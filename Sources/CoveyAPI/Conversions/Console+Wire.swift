package import CoveyModel
internal import FoundationEssentials
internal import SwiftProtobuf

extension Covey_V1_ConsoleRequest {
    /// The message of bytes for the console.
    package init(input bytes: [UInt8]) {
        self.init()
        input = Data(bytes)
    }
}

extension Covey_V1_ConsoleResponse {
    /// The message of an output.
    package init(_ model: ConsoleOutput) {
        self.init()
        switch model {
        case .seat(let now):
            seat = .with {
                $0.writes = now.writes
                if let writer = now.writer { $0.writer = writer }
            }
        case .data(let bytes): data = Data(bytes)
        case .caughtUp: caughtUp = true
        }
    }
}

extension ConsoleOutput {
    /// The value of a message. Errors: ``ErrorCode/invalid`` for an output that is not known.
    package init(_ message: Covey_V1_ConsoleResponse) throws(CoveyError) {
        switch message.response {
        case .seat(let seat):
            self = .seat(ConsoleSeat(writes: seat.writes, writer: seat.hasWriter ? seat.writer : nil))
        case .data(let data): self = .data([UInt8](data))
        case .caughtUp: self = .caughtUp
        case nil: throw CoveyError(.invalid, "an output of a console is empty or not known")
        }
    }
}
