package import CoveyModel

/// The guard's command line.
package struct GuardOptions: Hashable, Sendable {
    /// What a replaced guard leaves to its successor: descriptor numbers.
    package struct Handover: Hashable, Sendable {
        /// The listening socket.
        package var socket: Int32
        /// The locked file.
        package var lock: Int32
        /// The state, in memory.
        package var state: Int32

        var text: String { "\(socket),\(lock),\(state)" }

        init?(_ text: String) {
            let numbers = text.split(separator: ",", omittingEmptySubsequences: false).compactMap { Int32($0) }
            guard numbers.count == 3, numbers.allSatisfy({ $0 > 2 }) else { return nil }
            self.init(socket: numbers[0], lock: numbers[1], state: numbers[2])
        }

        init(socket: Int32, lock: Int32, state: Int32) {
            self.socket = socket
            self.lock = lock
            self.state = state
        }
    }

    /// How the guard is called.
    package static let usage = """
        usage: covey-guard --root-run DIR --instance HEX8 [--state FILE] [--detached]
               covey-guard --version
        """

    /// The folder of socket, lock and state; only we may enter it.
    package var runFolder: String
    /// The daemon root's instance.
    package var instance: InstanceID
    /// The state file, on a tmpfs.
    package var statePath: String
    /// Whether standard output and error are left to `/dev/null` and a log once the guard listens.
    package var isDetached = false
    /// Set by the guard that this one replaces.
    package var handover: Handover?

    /// The socket's path.
    package var socketPath: String { "\(runFolder)/guard.sock" }
    /// The lock file's path.
    package var lockPath: String { "\(runFolder)/guard.lock" }
    /// Where a detached guard writes what it has to say.
    package var logPath: String { "\(runFolder)/guard.log" }

    /// Reads arguments, the program's name left out. Errors: ``ErrorCode/invalid``.
    package init(_ arguments: [String]) throws(CoveyError) {
        var rest = arguments[...]
        var folder: String?
        var instance: InstanceID?
        var state: String?
        func value(_ option: String, _ rest: inout ArraySlice<String>) throws(CoveyError) -> String {
            guard let value = rest.popFirst() else { throw CoveyError(.invalid, "\(option) needs a value") }
            return value
        }
        while let option = rest.popFirst() {
            switch option {
            case "--root-run": folder = try value(option, &rest)
            case "--state": state = try value(option, &rest)
            case "--detached": isDetached = true
            case "--instance":
                let text = try value(option, &rest)
                guard let id = InstanceID(text) else {
                    throw CoveyError(.invalid, "instance \"\(text)\" is not eight lower-case hex digits")
                }
                instance = id
            case "--handover":
                let text = try value(option, &rest)
                guard let numbers = Handover(text) else {
                    throw CoveyError(.invalid, "handover \"\(text)\" is not three descriptor numbers")
                }
                handover = numbers
            case let other: throw CoveyError(.invalid, "unknown option \(other)")
            }
        }
        guard let folder, folder.hasPrefix("/") else {
            throw CoveyError(.invalid, "--root-run needs an absolute folder")
        }
        guard let instance else { throw CoveyError(.invalid, "--instance is missing") }
        runFolder = folder
        self.instance = instance
        statePath = state ?? "\(folder)/guard.state"
        guard statePath.hasPrefix("/") else { throw CoveyError(.invalid, "--state needs an absolute path") }
    }

    /// The arguments that a successor is called with.
    func successor(_ handover: Handover) -> [String] {
        [
            "--root-run", runFolder, "--instance", "\(instance)", "--state", statePath, "--handover", handover.text,
        ]
    }
}
