internal import CoveyModel
internal import CoveyVMM

extension QEMUCommandLine {
    /// The beginning of the names of the nodes that the guest's disks are; the disk's number in the plan follows.
    static let diskNode = "disk"

    /// The disks, with a throttle before each that may be written to where the plan has a limit.
    var disks: [String] {
        zip(plan.disks, numbers.disks).enumerated().flatMap { index, pair in
            let (disk, number) = pair
            let name = "\(Self.diskNode)\(index)"
            let limit = disk.readOnly ? nil : plan.diskLimit.flatMap(Self.throttle)
            var arguments: [String] = []
            if let backing = number.backing { arguments += file(backing, name: "\(name)-base", readOnly: true) }
            arguments += file(number.file, name: "\(name)-file", readOnly: disk.readOnly, isDevice: disk.isDevice)
            if number.backing != nil {
                arguments += node("driver=raw,node-name=\(name)-below,file=\(name)-base", readOnly: true)
            }
            let backing = number.backing == nil ? "" : ",backing=\(name)-below"
            let image = limit == nil ? name : "\(name)-image"
            arguments += node(
                "driver=\(disk.format.rawValue),node-name=\(image),file=\(name)-file\(backing),discard=unmap",
                readOnly: disk.readOnly)
            if let limit {
                arguments += ["-object", #"{"qom-type":"throttle-group","id":"\#(name)-limit","limits":{\#(limit)}}"#]
                arguments += node(
                    "driver=throttle,node-name=\(name),throttle-group=\(name)-limit,file=\(image),discard=unmap",
                    readOnly: false)
            }
            return arguments + ["-device", "virtio-blk-device,drive=\(name),serial=\(escaped(disk.serial))"]
        }
    }

    /// A limit as the members of QEMU's `ThrottleLimits`; nil where it bounds nothing. Without a burst, a tenth of a
    /// second's worth passes at once; one of less than a second's worth cannot be told to QEMU and counts as none.
    /// Source: QEMU, qapi/block-core.json, util/throttle.c.
    static func throttle(_ limit: TrafficLimit) -> String? {
        var members: [(String, Int64)] = []
        if let bytes = limit.bytesPerSecond, bytes > 0 {
            members.append(("bps-total", min(bytes, mostPerSecond)))
            if let burst = limit.burstBytes, burst >= bytes {
                members.append(("bps-total-max", min(burst, mostPerSecond)))
            }
        }
        if let operations = limit.operationsPerSecond, operations > 0 {
            members.append(("iops-total", min(operations, mostPerSecond)))
        }
        return members.isEmpty ? nil : members.map { "\"\($0)\":\($1)" }.joined(separator: ",")
    }

    /// QEMU's `THROTTLE_VALUE_MAX`.
    private static let mostPerSecond: Int64 = 1_000_000_000_000_000

    /// A file as a node. The host's page cache is used, and what the guest flushes is flushed to the disk.
    private func file(_ number: Int32, name: String, readOnly: Bool, isDevice: Bool = false) -> [String] {
        ["-add-fd", "fd=\(number),set=\(number)"]
            + node(
                "driver=\(isDevice ? "host_device" : "file"),node-name=\(name),filename=/dev/fdset/\(number),aio=threads,discard=unmap",
                readOnly: readOnly)
    }

    private func node(_ options: String, readOnly: Bool) -> [String] {
        ["-blockdev", "\(options),cache.direct=off,cache.no-flush=off,read-only=\(readOnly ? "on" : "off")"]
    }

    /// The network interfaces, after the disks: these keep their places. The guest's driver learns the length of
    /// packets from the device.
    var interfaces: [String] {
        zip(plan.interfaces, numbers.interfaces).enumerated().flatMap { index, pair in
            let (interface, number) = pair
            return [
                "-netdev", "tap,id=net\(index),fd=\(number),vhost=off",
                "-device",
                "virtio-net-device,netdev=net\(index),mac=\(interface.mac),host_mtu=\(interface.mtu)",
            ]
        }
    }
}
