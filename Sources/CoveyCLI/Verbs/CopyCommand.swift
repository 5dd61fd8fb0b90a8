internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import Glibc

/// `covey cp`.
struct CopyCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "cp", abstract: "Copy files and folders into machines, out of them and between them.",
        discussion: """
            A place is a path of this host or VM:PATH; - is a tar archive on standard input or output. A folder goes into \
            a folder that exists, or becomes the one that does not; /. behind its name means its content. A file is \
            put in place whole or not at all.

            Example: covey cp ./site web:/srv
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Keep owners, set-uid bits, whole times and all attributes.")
    var archive = false

    @Flag(name: [.customShort("L"), .long], help: "Follow a source that is a symbolic link.")
    var followLink = false

    @Option(name: .shortAndLong, help: "Who reads and writes in the machine, as NAME, UID, NAME:GROUP or UID:GID.")
    var user: String?

    @Argument(help: "What is copied: a path, VM:PATH or -.")
    var source: CopyPlace

    @Argument(help: "Where to: a path, VM:PATH or -.")
    var destination: CopyPlace

    func validate() throws {
        switch (source, destination) {
        case (.host, .host), (.stream, .stream), (.host, .stream), (.stream, .host):
            throw ValidationError("one of the two is a place in a machine, written as VM:PATH")
        case (.machine, _), (_, .machine): break
        }
        if case .machine = destination, archive && user != nil {
            throw ValidationError("--archive keeps the owners, and --user gives all to one")
        }
    }

    func perform() async throws -> Int32 {
        let progress = CopyProgress(quiet: global.quiet)
        return try await global.connect { client in
            let copying = Copying(
                client: client, progress: progress, isExact: archive, followsLink: followLink, user: user)
            do {
                switch (source, destination) {
                case (.host(let path), .machine(let vm, let target)): try await copying.send(path, to: vm, target)
                case (.machine(let vm, let path), .host(let target)): try await copying.fetch(vm, path, to: target)
                case (.machine(let from, let path), .machine(let to, let target)):
                    try await copying.carry(from, path, to: to, target)
                case (.stream, .machine(let vm, let path)): try await copying.sendArchive(to: vm, path)
                case (.machine(let vm, let path), .stream): try await copying.fetchArchive(vm, path)
                case (.host, .host), (.stream, .stream), (.host, .stream), (.stream, .host): break
                }
            } catch {
                progress.end(succeeded: false)
                throw error
            }
            progress.end(succeeded: true)
            return 0
        }
    }
}
