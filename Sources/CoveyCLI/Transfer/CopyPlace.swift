internal import ArgumentParser

/// One side of a copy: `-`, a path of the host, or `VM:PATH`.
enum CopyPlace: ExpressibleByArgument, Equatable, Sendable {
    /// A tar archive on standard input or output.
    case stream
    /// A path of the host.
    case host(String)
    /// A path in a machine.
    case machine(String, path: String)

    /// What begins with `/` or `.`, or has no colon, is on the host.
    init?(argument: String) {
        guard !argument.isEmpty else { return nil }
        if argument == "-" {
            self = .stream
        } else if let colon = argument.firstIndex(of: ":"), !argument.hasPrefix("/"), !argument.hasPrefix("."),
            colon != argument.startIndex
        {
            let path = String(argument[argument.index(after: colon)...])
            self = .machine(String(argument[..<colon]), path: path.isEmpty ? "/" : path)
        } else {
            self = .host(argument)
        }
    }
}
