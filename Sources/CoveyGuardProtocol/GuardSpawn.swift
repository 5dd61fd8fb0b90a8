package import CoveyModel

/// Where a process's console goes: a pipe that the guard drains into a file.
package struct GuardConsole: Hashable, Sendable {
    /// The number under which the process sees the pipe.
    package var number: Int32
    /// The log file; the older part is at `path.1`, the pipe at `path.fifo`.
    package var path: String
    /// The most bytes that both parts take.
    package var limit: ByteCount

    /// Makes a console.
    package init(number: Int32, path: String, limit: ByteCount) {
        self.number = number
        self.path = path
        self.limit = limit
    }
}

/// A process that the guard is asked to start.
package struct GuardSpawn: Hashable, Sendable {
    /// Unique in the instance: letters, digits, `-`, at most 100; names the control group.
    package var name: String
    /// The caller's mark: a repeat with the same name and mark gets the first result.
    package var mark: String
    /// The program, absolute, and its arguments.
    package var arguments: [String]
    /// `KEY=VALUE`, the whole environment.
    package var environment: [String] = []
    /// The folder it starts in.
    package var workingDirectory = "/"
    /// uid and gid.
    package var user: UInt32
    /// Supplementary groups.
    package var groups: [UInt32] = []
    /// The process's numbers of the packet's descriptors, in their order.
    package var descriptorNumbers: [Int32] = []
    /// Where its console goes.
    package var console: GuardConsole?
    /// Where standard error goes; the first 64 KiB are kept.
    package var errorLog: String?
    /// Whether it gets an empty network namespace.
    package var isolatesNetwork = true
    /// Memory of the control group.
    package var memory: ByteCount?
    /// Processes and threads of the control group.
    package var tasks: Int32?
    /// Processor time in thousandths of one CPU.
    package var milliCPUs: Int32?
    /// Open files.
    package var openFiles: Int32?

    /// Makes a spawn; what is optional is set by its properties.
    package init(name: String, mark: String, arguments: [String], user: UInt32) {
        self.name = name
        self.mark = mark
        self.arguments = arguments
        self.user = user
    }

    /// Throws ``ErrorCode/invalid`` where the request can never work.
    package func check() throws(CoveyError) {
        try Self.checkName(name)
        func refuse(_ condition: Bool, _ what: String) throws(CoveyError) {
            if condition { throw CoveyError(.invalid, "process \(name) cannot be started: \(what)") }
        }
        let texts = arguments + environment + [workingDirectory, console?.path ?? "", errorLog ?? ""]
        try refuse(texts.contains { $0.utf8.contains(0) }, "a text holds a zero byte")
        let paths = [arguments.first ?? "", workingDirectory, console?.path ?? "/", errorLog ?? "/"]
        try refuse(!paths.allSatisfy { $0.hasPrefix("/") }, "program, folder and logs need absolute paths")
        let numbers = descriptorNumbers + (console.map { [$0.number] } ?? []) + (errorLog == nil ? [] : [2])
        try refuse(Set(numbers).count != numbers.count, "a descriptor number is given twice")
        try refuse(
            !numbers.allSatisfy { (0...GuardProtocol.highestDescriptor).contains($0) },
            "descriptor numbers go from 0 to \(GuardProtocol.highestDescriptor)")
        try refuse(descriptorNumbers.count > GuardProtocol.mostDescriptors, "it has too many descriptors")
        try refuse(user == .max, "there is no user \(user)")
        try refuse(groups.contains(.max) || groups.count > 32, "its groups cannot be set")
        let limits = [
            memory.map { Int($0.bytes) }, tasks.map(Int.init), milliCPUs.map(Int.init), openFiles.map(Int.init),
        ]
        try refuse(limits.contains { ($0 ?? 1) < 1 }, "a limit is below 1")
        try refuse((console?.limit.bytes ?? 4096) < 4096, "a console log needs at least 4096 bytes")
    }

    /// Throws ``ErrorCode/invalid`` where a text can name no process.
    package static func checkName(_ name: String) throws(CoveyError) {
        let valid =
            (1...100).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 45
            }
        guard !valid else { return }
        throw CoveyError(.invalid, "process name \"\(name)\" is not 1 to 100 of letters, digits and -")
    }
}
