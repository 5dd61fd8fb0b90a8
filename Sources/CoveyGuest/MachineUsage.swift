internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem

/// What this machine uses. Source: proc_meminfo(5), proc_loadavg(5).
enum MachineUsage {
    /// Reads it. Errors: ``ErrorCode/failure`` where the kernel does not say it.
    static func read() throws(CoveyError) -> GuestUsage {
        do throws(SystemError) {
            let usage = parse(memory: try readText("/proc/meminfo"), load: try readText("/proc/loadavg"))
            if let usage { return usage }
        } catch {
            throw error.coveyError
        }
        throw CoveyError(.failure, "the guest's kernel does not say what is used")
    }

    /// Reads the two files' text; nil where they say nothing.
    static func parse(memory: String, load: String) -> GuestUsage? {
        var amounts: [Substring: Int64] = [:]
        for line in memory.split(separator: "\n") {
            let parts = line.split(whereSeparator: { $0 == " " || $0 == ":" })
            guard parts.count >= 2, let amount = Int64(parts[1]) else { continue }
            // The kernel says kB and means KiB.
            amounts[parts[0]] = amount.multipliedReportingOverflow(by: 1024).partialValue
        }
        guard let total = amounts["MemTotal"], let available = amounts["MemAvailable"],
            let load = load.split(separator: " ").first.flatMap({ Double($0) })
        else { return nil }
        return GuestUsage(memory: ByteCount(total), available: ByteCount(available), load: load)
    }
}
