internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What is copied, as its user wrote it.
struct CopySource {
    /// The path without what says that a folder is meant.
    let path: String
    /// Whether it must be a folder: it ends in `/` or `/.`.
    let isFolder: Bool
    /// Whether its content is meant and not it: it ends in `/.`.
    let isContent: Bool

    init(_ text: String) {
        var path = text.isEmpty ? "." : text
        isContent = path.hasSuffix("/.") || path == "."
        if isContent { path.removeLast() }
        isFolder = isContent || path.hasSuffix("/")
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = path.isEmpty ? "." : path
    }

    /// The name that it has where it lies.
    func name() throws -> [UInt8] {
        let last = path.split(separator: "/").last.map(String.init) ?? ""
        if !last.isEmpty && last != "." && last != ".." { return Array(last.utf8) }
        guard let real = realpath(path, nil) else { throw problem("reading", Array(path.utf8)) }
        defer { free(real) }
        let resolved = String(cString: real).split(separator: "/").last.map(String.init) ?? "."
        return Array(resolved.utf8)
    }
}

/// Where what is copied comes to lie.
struct CopyTarget: Equatable {
    /// What is at the destination, links followed.
    enum State: Equatable { case nothing, file, folder }

    /// The folder that holds it, which must exist.
    var folder: String
    /// Its name there; empty where its content goes into the folder.
    var name: [UInt8]

    /// Where a source goes. `docker cp` has these rules: a folder goes into a folder that exists, or becomes the one that
    /// does not; its content goes there with `/.` behind its name; a file goes into a folder, or takes the name.
    ///
    /// - Parameters:
    ///   - name: The source's own name.
    ///   - isFolder: Whether it is a folder.
    ///   - isContent: Whether a folder's content is meant.
    ///   - destination: As the user wrote it.
    ///   - state: What is there.
    /// - Throws: ``ErrorCode/conflict`` for a folder over a file, ``ErrorCode/notFound`` for a file in a folder that is
    ///   not there.
    init(name: [UInt8], isFolder: Bool, isContent: Bool, to destination: String, _ state: State) throws {
        let wanted = CopySource(destination)
        switch state {
        case .folder:
            folder = wanted.path
            self.name = isContent ? [] : name
        case .file:
            guard !isFolder else {
                throw CoveyError(.conflict, "\(destination) is a file, and a folder cannot take its place")
            }
            guard !wanted.isFolder else { throw CoveyError(.conflict, "\(destination) is no folder") }
            folder = parentFolder(wanted.path)
            self.name = CopyTarget.last(wanted.path)
        case .nothing:
            guard isFolder || !wanted.isFolder else {
                throw CoveyError(.notFound, "there is no folder \(destination)", remedy: "make it first")
            }
            folder = parentFolder(wanted.path)
            self.name = CopyTarget.last(wanted.path)
        }
    }

    private static func last(_ path: String) -> [UInt8] {
        (path.split(separator: "/").last).map { Array($0.utf8) } ?? []
    }
}
