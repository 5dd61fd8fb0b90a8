package import CoveyModel
internal import CoveySystem
package import CoveyVMM
internal import FoundationEssentials

/// A machine's handle on disk, apart from its durable description.
enum HandleFile {
    /// What was found.
    enum Content {
        case none
        case handle(MachineHandle)
        case unreadable(String)
    }

    static func write(_ handle: MachineHandle, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        try writeFileAtomically(path, Array(try encoder.encode(handle)))
    }

    /// Reads a handle; one of a newer format is unreadable.
    static func read(_ path: String) -> Content {
        guard fileExists(path) else { return .none }
        do {
            let handle = try JSONDecoder().decode(MachineHandle.self, from: Data(try readFile(path, limit: 1 << 20)))
            guard handle.version == 1 else { return .unreadable("its format \(handle.version) is newer than 1") }
            return .handle(handle)
        } catch {
            return .unreadable(String(describing: error))
        }
    }
}

extension NodeLayout {
    /// The VMM that a machine's handle names; nil where there is none, or it cannot be read.
    package func process(of machine: MachineID) -> ProcessIdentity? {
        guard case .handle(let handle) = HandleFile.read(handle(machine)) else { return nil }
        return handle.process
    }
}
