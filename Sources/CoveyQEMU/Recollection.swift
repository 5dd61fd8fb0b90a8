internal import CoveyModel
internal import CoveySystem
package import CoveyVMM
internal import Glibc

/// Why a QEMU ended, from the trace record that it leaves in its error log. The control socket says the same,
/// but only to who is connected at that instant.
enum Recollection {
    /// The trace event of QEMU's, written when a shutdown (not a reset) is asked for.
    static let traceEvent = "qemu_system_shutdown_request"

    /// `SHUTDOWN_CAUSE_GUEST_SHUTDOWN` of QEMU's qapi/run-state.json, by its place there.
    private static let guestShutdown = 6

    /// The last events of a process that ended with a status. With `-no-reboot`, a QEMU that ends with 0 although
    /// nobody asked for a shutdown was reset by its guest.
    static func events(log: String, status: ProcessExit?) -> [VMMEvent] {
        let end = VMMEvent.exited(status)
        let reasons = log.split(separator: "\n").compactMap { line -> Int? in
            let words = line.split(separator: " ")
            guard words.count == 2, words[0] == traceEvent, words[1].hasPrefix("reason=") else { return nil }
            return Int(words[1].dropFirst("reason=".count))
        }
        if reasons.contains(guestShutdown) { return [.guestPoweredOff, end] }
        return reasons.isEmpty && status == .exited(0) ? [.guestReset, end] : [end]
    }
}

extension QEMUDriver: RecollectingVMMDriver {
    package func lastEvents(_ handle: MachineHandle) async throws -> [VMMEvent] {
        let found = try await process(handle.processName)
        let process = found?.identity == handle.process ? found : nil
        let status: ProcessExit?
        switch process?.end {
        case .known(let exit): status = exit
        case .unknown: status = nil
        case nil where process != nil:
            throw CoveyError(.conflict, "\(handle.processName) runs")
        case nil: status = nil
        }
        let path = Self.errorLog(handle)
        let log = try await pool.run { () -> [UInt8] in
            do throws(SystemError) { return try readFile(path, limit: 1 << 20) } catch {
                if error.isErrno(ENOENT) { return [] }
                throw error.coveyError
            }
        }
        return Recollection.events(log: String(decoding: log, as: UTF8.self), status: status)
    }

    /// Where a handle's QEMU wrote its errors: beside its sockets, as ``LaunchPlan/errorLog`` says.
    static func errorLog(_ handle: MachineHandle) -> String { "\(parentFolder(handle.controlSocket))/errors" }
}
