internal import CoveySystem
internal import Glibc

/// The processes that stand below another one.
struct Descendants {
    /// Every process's parent and group. Source: proc(5), `/proc/PID/stat`.
    private let processes: [(pid: Int32, parent: Int32, group: Int32)]

    /// Looks at all processes. One that ends meanwhile is left out.
    static func now() -> Descendants {
        let names: [String]
        do throws(SystemError) { names = try listFolder("/proc") } catch { return Descendants(lines: []) }
        return Descendants(
            lines: names.compactMap { name in
                guard Int32(name) != nil else { return nil }
                do throws(SystemError) { return try readText("/proc/\(name)/stat") } catch { return nil }
            })
    }

    /// Reads lines of `/proc/PID/stat`: a program's name, in brackets, may hold anything.
    init(lines: [String]) {
        processes = lines.compactMap { line in
            guard let close = line.lastIndex(of: ")"), let pid = Int32(line.prefix { $0 != " " }) else { return nil }
            let fields = line[line.index(after: close)...].split(separator: " ")
            guard fields.count > 2, let parent = Int32(fields[1]), let group = Int32(fields[2]) else { return nil }
            return (pid, parent, group)
        }
    }

    /// Those below a process, but for those in its own group.
    func sessions(of leader: Int32) -> [Int32] {
        var below: Set<Int32> = [leader]
        var before = 0
        while below.count > before {
            before = below.count
            for process in processes where below.contains(process.parent) { below.insert(process.pid) }
        }
        return processes.filter { below.contains($0.pid) && $0.pid != leader && $0.group != leader }.map(\.pid).sorted()
    }
}
