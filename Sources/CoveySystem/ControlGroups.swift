internal import CCovey
package import CoveyModel
internal import Glibc

/// What a control group may use. Nil is without limit.
package struct ControlGroupLimits: Hashable, Sendable {
    /// Memory.
    package var memory: ByteCount?
    /// Processes and threads.
    package var tasks: Int?
    /// Processor time in thousandths of one CPU.
    package var milliCPUs: Int?

    /// Makes limits.
    package init(memory: ByteCount? = nil, tasks: Int? = nil, milliCPUs: Int? = nil) {
        self.memory = memory
        self.tasks = tasks
        self.milliCPUs = milliCPUs
    }
}

/// The control groups of one instance: a folder `covey-INSTANCE` in each hierarchy, a group per process below it.
///
/// Version 2 where it is mounted, and those version 1 controllers that version 2 does not have here. All calls are
/// idempotent. Source: the kernel's cgroup-v2 and cgroup-v1 documents, systemd's "Control Group APIs and Delegation".
///
/// The folder lies in the unit that systemd delegated (`Delegate=yes`) only where systemd starts us in a subgroup of
/// it (`DelegateSubgroup=`, systemd 254): without, a unit that has machines left cannot be started again, since the
/// kernel takes no process into a group that hands controllers down. There it lies at the hierarchy's root.
package struct ControlGroups: Sendable {
    /// The group of the guard itself; no process can have this name.
    package static let ownGroup = "_guard"

    private struct Hierarchy: Sendable {
        let version: Int
        /// The folder that holds the instance's folder.
        let base: String
        /// The instance's folder.
        let folder: String
        let controllers: Set<ControlGroupController>
        /// Whether the base is the subtree that systemd gave to our unit.
        var isDelegated = false
    }

    /// The first one tells who is in a group.
    private let hierarchies: [Hierarchy]
    /// What cannot be limited or watched on this host, a sentence each.
    package let limitations: [String]

    /// The folder of version 2 that holds the instance's folder, for the next guard; nil without version 2.
    package var unifiedBase: String? { hierarchies.first { $0.version == 2 }?.base }

    /// Finds the hierarchies, makes the instance's folders, and moves this process into a group of its own beside
    /// the others, so that whoever ends the group it was started in ends neither it nor them.
    ///
    /// `earlierBase` is the ``unifiedBase`` of the guard before: kept where its groups are there still.
    /// `mountinfo` stands for the text of `/proc/self/mountinfo`.
    package init(
        instance: InstanceID, ownsProcess: Bool = true, earlierBase: String? = nil, mountinfo: String? = nil
    ) throws(SystemError) {
        let membership = try readText("/proc/self/cgroup")
        let hostMounts = try readText("/proc/self/mountinfo")
        let mounts = ControlGroupMount.parse(mountinfo ?? hostMounts)
        let name = "covey-\(instance)"
        var found: [Hierarchy] = []
        var sentences: [String] = []
        var missing = Set(ControlGroupController.allCases)
        if let mount = mounts.first(where: { $0.version == 2 }) {
            do throws(SystemError) {
                let unified = try Self.unified(
                    mount, membership, name, earlierBase: earlierBase, ownsProcess: ownsProcess)
                missing.subtract(unified.controllers)
                found.append(unified)
            } catch { sentences.append("control groups of version 2 cannot be used here: \(error)") }
        }
        for mount in mounts where mount.version == 1 {
            let useful = mount.controllers.intersection(missing)
            guard !useful.isEmpty, mount.root == "/" else { continue }
            do throws(SystemError) {
                try makeFolder("\(mount.path)/\(name)", mode: 0o755)
                missing.subtract(useful)
                found.append(
                    Hierarchy(
                        version: 1, base: mount.path, folder: "\(mount.path)/\(name)", controllers: useful))
            } catch { sentences.append("control groups of version 1 cannot be used here: \(error)") }
        }
        hierarchies = found
        for controller in ControlGroupController.allCases where missing.contains(controller) {
            sentences.append("\(controller.subject) cannot be limited: this host offers no control group for it")
        }
        if found.isEmpty { sentences.append("processes that a program leaves behind cannot be found and ended") }
        limitations = sentences
    }

    private static func unified(
        _ mount: ControlGroupMount, _ membership: String, _ name: String, earlierBase: String?, ownsProcess: Bool
    ) throws(SystemError) -> Hierarchy {
        var base = mount.path
        if let earlierBase, fileExists("\(earlierBase)/\(name)") {
            base = earlierBase
        } else if let own = mount.ownPath(membership) {
            let unit = parentFolder(own)
            if unit != "/" && hasDelegation(mount.path + unit) { base = mount.path + unit }
        }
        let isDelegated = base != mount.path
        let folder = "\(base)/\(name)"
        try makeFolder(folder, mode: 0o755)
        if ownsProcess {
            try makeFolder("\(folder)/\(ownGroup)", mode: 0o755)
            try writeControl("\(folder)/\(ownGroup)/cgroup.procs", "0")
        }
        for place in [base, folder] {
            for controller in ControlGroupController.allCases {
                do throws(SystemError) {
                    try writeControl("\(place)/cgroup.subtree_control", "+\(controller.rawValue)")
                } catch { continue }  // bound to version 1, or not delegated: what counts is read below
            }
        }
        let enabled = (try? readText("\(folder)/cgroup.subtree_control")) ?? ""
        let controllers = enabled.split(whereSeparator: \.isWhitespace).compactMap {
            ControlGroupController(rawValue: String($0))
        }
        return Hierarchy(
            version: 2, base: base, folder: folder, controllers: Set(controllers), isDelegated: isDelegated)
    }

    private static func hasDelegation(_ path: String) -> Bool {
        ["trusted.delegate", "user.delegate"].contains { name in
            var value: UInt8 = 0
            return getxattr(path, name, &value, 1) == 1 && value == UInt8(ascii: "1")
        }
    }

    /// Makes a group with its limits. Errors: `EBUSY` where something lives in a group of this name.
    /// Returns a sentence for each limit that could not be set.
    package func make(_ name: String, limits: ControlGroupLimits) throws(SystemError) -> [String] {
        guard try remove(name) else { throw SystemError("rmdir", "control group \(name)", errno: EBUSY) }
        var refused: [String] = []
        for hierarchy in hierarchies {
            let group = "\(hierarchy.folder)/\(name)"
            try makeFolder(group, mode: 0o755)
            for (controller, file, value) in limits.settings(version: hierarchy.version)
            where hierarchy.controllers.contains(controller) {
                do throws(SystemError) { try writeControl("\(group)/\(file)", value) } catch {
                    refused.append("\(controller.subject) could not be limited: \(error)")
                }
            }
        }
        return refused
    }

    /// Opens what a process joins a group by.
    package func openMembership(_ name: String) throws(SystemError) -> [Int32] {
        var opened: [Int32] = []
        do throws(SystemError) {
            for hierarchy in hierarchies {
                opened.append(try openFile("\(hierarchy.folder)/\(name)/cgroup.procs", .writeOnly).release())
            }
        } catch {
            for descriptor in opened { _ = close(descriptor) }
            throw error
        }
        return opened
    }

    /// The groups that exist, without the guard's own, sorted.
    package func names() throws(SystemError) -> [String] {
        var names: Set<String> = []
        for hierarchy in hierarchies {
            for name in try listFolder(hierarchy.folder) where name != Self.ownGroup {
                if fileExists("\(hierarchy.folder)/\(name)/cgroup.procs") { names.insert(name) }
            }
        }
        return names.sorted()
    }

    /// The processes in a group, zombies left out; empty where there is no group.
    package func members(_ name: String) throws(SystemError) -> [Int32] {
        guard let tracking = hierarchies.first else { return [] }
        do throws(SystemError) {
            let text = try readText("\(tracking.folder)/\(name)/cgroup.procs")
            return text.split(separator: "\n").compactMap { Int32($0) }
        } catch {
            if error.isErrno(ENOENT) || error.isErrno(ENODEV) { return [] }
            throw error
        }
    }

    /// Sends SIGKILL to all in a group: at once where the kernel can, else to those that are there now
    /// (frozen meanwhile where it can do that). Repeat until ``members(_:)`` is empty.
    package func kill(_ name: String) throws(SystemError) {
        guard let tracking = hierarchies.first else { return }
        let group = "\(tracking.folder)/\(name)"
        guard fileExists(group) else { return }
        if tracking.version == 2 && fileExists("\(group)/cgroup.kill") {
            do throws(SystemError) { return try writeControl("\(group)/cgroup.kill", "1") } catch {
                if error.isErrno(ENOENT) || error.isErrno(ENODEV) { return }
            }
        }
        let freezes = tracking.version == 2 && fileExists("\(group)/cgroup.freeze")
        if freezes { try writeControl("\(group)/cgroup.freeze", "1") }
        for pid in try members(name) where Glibc.kill(pid, SIGKILL) != 0 && errno != ESRCH {
            throw SystemError("kill", "process \(pid)")
        }
        if freezes { try writeControl("\(group)/cgroup.freeze", "0") }
    }

    /// Removes a group; false where something lives in it still.
    package func remove(_ name: String) throws(SystemError) -> Bool {
        var isGone = true
        for hierarchy in hierarchies {
            if rmdir("\(hierarchy.folder)/\(name)") == 0 || errno == ENOENT { continue }
            guard errno == EBUSY else { throw SystemError("rmdir", "\(hierarchy.folder)/\(name)") }
            isGone = false
        }
        return isGone
    }

    /// Removes the instance's folders, moving this process out of them first. False where groups are left.
    package func removeAll() throws(SystemError) -> Bool {
        for hierarchy in hierarchies where hierarchy.version == 2 && fileExists("\(hierarchy.folder)/\(Self.ownGroup)")
        {
            // In a delegated unit processes may live in the inner folder only while it hands nothing down.
            for controller in hierarchy.controllers where hierarchy.isDelegated {
                for place in [hierarchy.folder, hierarchy.base] {
                    try writeControl("\(place)/cgroup.subtree_control", "-\(controller.rawValue)")
                }
            }
            if try members(Self.ownGroup).contains(getpid()) {
                try writeControl("\(hierarchy.base)/cgroup.procs", "0")
            }
        }
        guard try remove(Self.ownGroup) else { return false }
        var isGone = true
        for hierarchy in hierarchies where rmdir(hierarchy.folder) != 0 && errno != ENOENT {
            guard errno == EBUSY || errno == ENOTEMPTY else { throw SystemError("rmdir", hierarchy.folder) }
            isGone = false
        }
        return isGone
    }
}

extension ControlGroupController {
    fileprivate var subject: String {
        switch self {
        case .memory: "memory"
        case .pids: "the number of processes"
        case .cpu: "processor time"
        }
    }
}

extension ControlGroupLimits {
    fileprivate func settings(version: Int) -> [(ControlGroupController, String, String)] {
        var settings: [(ControlGroupController, String, String)] = []
        let isUnified = version == 2
        if let memory {
            settings.append((.memory, isUnified ? "memory.max" : "memory.limit_in_bytes", "\(memory.bytes)"))
        }
        if let tasks { settings.append((.pids, "pids.max", "\(tasks)")) }
        if let milliCPUs {
            // The kernel takes no quota under 1 ms per period of 100 ms.
            let quota = max(1000, milliCPUs * 100)
            settings.append(
                isUnified ? (.cpu, "cpu.max", "\(quota) 100000") : (.cpu, "cpu.cfs_quota_us", "\(quota)"))
        }
        return settings
    }
}

private func writeControl(_ path: String, _ value: String) throws(SystemError) {
    let file = try openFile(path, .writeOnly)
    do throws(SystemError) {
        try writeAll(file.raw, Array(value.utf8))
    } catch { throw SystemError("write \(value)", path, errno: error.errno) }
}
