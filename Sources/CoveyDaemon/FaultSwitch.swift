internal import CoveyNode
internal import Glibc
internal import Logging

/// Lets a daemon under test kill itself at a step: `COVEY_FAULT_POINT=start.launched`.
enum FaultSwitch {
    static func points(_ logger: Logger) -> FaultPoints {
        guard let value = getenv("COVEY_FAULT_POINT") else { return FaultPoints() }
        let point = String(cString: value)
        logger.warning("this daemon will kill itself", metadata: ["point": "\(point)"])
        return FaultPoints { name in
            if name == point { _ = kill(getpid(), SIGKILL) }
        }
    }
}
