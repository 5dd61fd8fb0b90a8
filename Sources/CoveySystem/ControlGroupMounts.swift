/// A resource that control groups can limit.
package enum ControlGroupController: String, CaseIterable, Sendable {
    /// Memory.
    case memory
    /// Processes and threads.
    case pids
    /// Processor time.
    case cpu
}

/// Where a hierarchy of control groups is mounted. Source: proc_pid_mountinfo(5), cgroups(7).
package struct ControlGroupMount: Hashable, Sendable {
    /// 1 or 2.
    package let version: Int
    /// The mount point.
    package let path: String
    /// The hierarchy's folder that is mounted there; `/` outside containers.
    package let root: String
    /// Version 1: the controllers that live here. Empty for version 2, which lists them in its files.
    package let controllers: Set<ControlGroupController>
    /// Version 1: the names in the superblock's options, as `/proc/PID/cgroup` lists them.
    package let options: [String]

    /// Reads the control group mounts of a `mountinfo` text; version 2 first, then in the text's order.
    package static func parse(_ mountinfo: String) -> [ControlGroupMount] {
        let mounts = mountinfo.split(separator: "\n").compactMap { ControlGroupMount(line: $0) }
        return mounts.filter { $0.version == 2 } + mounts.filter { $0.version == 1 }
    }

    private init?(line: Substring) {
        let fields = line.split(separator: " ")
        guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { return nil }
        switch fields[dash + 1] {
        case "cgroup2": version = 2
        case "cgroup": version = 1
        default: return nil
        }
        root = Self.unescaped(fields[3])
        path = Self.unescaped(fields[4])
        options = fields[dash + 3].split(separator: ",").map(String.init)
        controllers = version == 1 ? Set(options.compactMap(ControlGroupController.init(rawValue:))) : []
    }

    /// This process's folder below the mount point, from the text of `/proc/self/cgroup`: `/`, `/system.slice/x.service`.
    /// Nil where it lies outside the mounted part.
    package func ownPath(_ membership: String) -> String? {
        for line in membership.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let names = parts[1].split(separator: ",").map(String.init)
            let isOurs = version == 2 ? parts[0] == "0" : !names.isEmpty && names.allSatisfy(options.contains)
            guard isOurs else { continue }
            let path = String(parts[2])
            if root == "/" { return path }
            if path == root { return "/" }
            return path.hasPrefix(root + "/") ? String(path.dropFirst(root.count)) : nil
        }
        return nil
    }

    /// Blanks and the like stand as `\040`.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
