internal import CoveyModel
internal import CoveySystem
package import CoveyVMM

extension QEMUMachine: MeasuredVMM {
    package func figures() async throws -> VMMFigures {
        let process = handle.process
        let found = try await pool.run { ProcessUsage(pid: process.pid) }
        guard let usage = found, usage.startTime == process.startTime else {
            throw CoveyError(.notFound, "QEMU process \(process.pid) of \(handle.processName) is gone")
        }
        let statistics = try await client.execute("query-blockstats")
        return VMMFigures(
            cpuTime: usage.cpuTime, residentMemory: usage.residentMemory, disks: [DiskFigures](statistics))
    }
}

extension [DiskFigures] {
    /// Reads QEMU's answer to `query-blockstats`, in the order of the disks. Source: QEMU, qapi/block-core.json.
    init(_ statistics: JSONValue) {
        guard case .array(let devices) = statistics else {
            self = []
            return
        }
        self = devices.compactMap { device in
            guard let name = device["node-name"]?.text, name.hasPrefix(QEMUCommandLine.diskNode),
                let index = Int(name.dropFirst(QEMUCommandLine.diskNode.count)), let numbers = device["stats"]
            else { return nil }
            func number(_ name: String) -> UInt64 { UInt64(clamping: numbers[name]?.whole ?? 0) }
            return DiskFigures(
                index: index, readBytes: number("rd_bytes"), readOperations: number("rd_operations"),
                writtenBytes: number("wr_bytes"), writeOperations: number("wr_operations"))
        }.sorted { $0.index < $1.index }
    }
}
