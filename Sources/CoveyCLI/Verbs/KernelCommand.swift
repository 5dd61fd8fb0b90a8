internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem

/// `covey kernel`.
struct KernelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernel", abstract: "Kernels.", discussion: "Example: covey kernel ls",
        subcommands: [
            KernelListCommand.self, KernelImportCommand.self, KernelInspectCommand.self, KernelRemoveCommand.self,
            KernelPullCommand.self, KernelCatalogCommand.self,
        ])
}

/// `covey kernel ls`.
struct KernelListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List kernels.", discussion: "Example: covey kernel ls", aliases: ["list"])

    @OptionGroup var global: GlobalOptions

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<Kernel>] = [
                Column("NAME") { $0.metadata.name },
                Column("RELEASE") { $0.status.release ?? "-" },
                Column("STATE") { $0.status.state.rawValue },
                Column("DEFAULT") { $0.spec.isDefault ? "yes" : "no" },
                Column("MODULES") { String($0.status.modules) },
                Column("SIZE") { $0.status.allocated?.rounded ?? "-" },
            ]
            try global.printed.list(try await client.listKernels(), columns) { $0.metadata.name }
            return 0
        }
    }
}

/// `covey kernel import`.
struct KernelImportCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Import a kernel from Debian, a .deb, a bzImage or an ELF file.",
        discussion: """
            Files are sent to the daemon, which opens no path that you name. Several packages, a folder of them, or an \
            archive with boot/ and lib/modules/ make one kernel: Ubuntu's modules are in packages of their own. The \
            newest kernel is the default, unless --no-default is given.

            Example: covey kernel import linux-image-unsigned-6.8.0-50-generic.deb linux-modules-6.8.0-50-generic.deb
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "Its name; made from the source where it is left out.")
    var name: String?

    @Flag(inversion: .prefixedNo, help: "Make it the kernel of machines that name none.")
    var `default` = true

    @Option(help: "The folder of its modules, such as /lib/modules/VERSION.")
    var modules: String?

    @Flag(name: .shortAndLong, help: "Do not wait.")
    var detach = false

    @Argument(help: "debian, or files, or a folder.", completion: .file())
    var sources: [String]

    func perform() async throws -> Int32 {
        let opened = try open()
        return try await global.connect { client in
            let asked = try await client.importKernel(opened, name: name, isDefault: `default`)
            if !detach { try await client.finishShowing(asked.operation, quiet: global.quiet) }
            let now = detach ? asked.subject : try await client.kernel(asked.subject.metadata.id.description)
            try global.printed.mutated(now, name: now.metadata.name)
            return 0
        }
    }

    private func isFolder(_ path: String) -> Bool { (try? FileFacts(path).kind) == .folder }

    private func open() throws -> KernelImport {
        guard let source = sources.first else { throw ValidationError("name debian, or a file") }
        if sources == ["debian"] {
            if modules != nil { throw ValidationError("debian brings its own modules") }
            return .debian
        }
        let name = source.split(separator: "/").last.map { String($0) } ?? source
        if sources.count > 1 || isFolder(source) {
            if modules != nil { throw ValidationError("--modules goes with one kernel file") }
            let archive = try sources.count > 1 ? TarStream(files: sources) : TarStream(folder: source)
            // The one that holds the kernel gives the name.
            let image = sources.first { $0.split(separator: "/").last?.hasPrefix("linux-image") == true }
            let title = image?.split(separator: "/").last.map { String($0) } ?? name
            return .file(name: title, bytes: { try await archive.next() }, modules: nil)
        }
        let file = try SentFile(source)
        guard let modules else { return .file(name: name, bytes: { try await file.next() }, modules: nil) }
        let archive = try TarStream(folder: modules)
        return .file(name: name, bytes: { try await file.next() }, modules: { try await archive.next() })
    }
}

/// `covey kernel inspect`.
struct KernelInspectCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print all that is known of a kernel.",
        discussion: "Example: covey kernel inspect debian")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The kernel.")
    var kernel: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let kernel = try await client.kernel(kernel)
            try global.printed.object(kernel, name: kernel.metadata.name)
            return 0
        }
    }
}

/// `covey kernel rm`.
struct KernelRemoveCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Delete kernels.", discussion: "Example: covey kernel rm debian",
        aliases: ["delete"])

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The kernels.")
    var kernels: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(kernels) { name in
                let asked = try await client.deleteKernel(name)
                try await client.finishShowing(asked.operation, quiet: global.quiet)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}
