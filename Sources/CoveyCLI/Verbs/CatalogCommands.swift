internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

extension [Column<CatalogEntry>] {
    /// What is shown of an entry.
    fileprivate static var ofCatalog: [Column<CatalogEntry>] {
        [
            Column("NAME") { "\($0.catalog)/\($0.name)" }, Column("KIND") { $0.kind.rawValue },
            Column("ARCH") { $0.architecture.rawValue }, Column("SIZE") { $0.size.rounded },
            Column("KERNEL") { $0.kernel ?? "-" }, Column("SUMMARY") { $0.summary ?? "-" },
        ]
    }
}

/// `covey image catalog`.
struct ImageCatalogCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "catalog", abstract: "List the images and bundles that the daemon's catalogs offer.",
        discussion: "Example: covey image catalog")

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Also catalogs without a key, or over plain HTTP.")
    var insecure = false

    @Argument(help: "The catalog; all where it is left out.")
    var catalog: String?

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let entries = try await client.catalogEntries(of: catalog, kinds: [.image, .bundle], insecure: insecure)
            try global.printed.list(entries, .ofCatalog) { "\($0.catalog)/\($0.name)" }
            return 0
        }
    }
}

/// `covey kernel catalog`.
struct KernelCatalogCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "catalog", abstract: "List the kernels that the daemon's catalogs offer.",
        discussion: "Example: covey kernel catalog")

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Also catalogs without a key, or over plain HTTP.")
    var insecure = false

    @Argument(help: "The catalog; all where it is left out.")
    var catalog: String?

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let entries = try await client.catalogEntries(of: catalog, kinds: [.kernel], insecure: insecure)
            try global.printed.list(entries, .ofCatalog) { "\($0.catalog)/\($0.name)" }
            return 0
        }
    }
}

/// `covey kernel pull`.
struct KernelPullCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetch a kernel from a catalog.",
        discussion: """
            NAME alone is that of the first catalog that has it. The newest kernel is the default, unless --no-default is \
            given.

            Example: covey kernel pull acme/6.12.9-cloud
            """)

    @OptionGroup var global: GlobalOptions

    @Option(name: .customLong("name"), help: "Its name; the entry's where it is left out.")
    var kernelName: String?

    @Flag(inversion: .prefixedNo, help: "Make it the kernel of machines that name none.")
    var `default` = true

    @Flag(help: "Also from a catalog without a key, or over plain HTTP.")
    var insecure = false

    @Flag(name: .shortAndLong, help: "Do not wait.")
    var detach = false

    @Argument(help: "CATALOG/NAME or NAME.")
    var name: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let asked = try await client.importKernel(
                .catalog(CatalogReference(name, insecure: insecure)), name: kernelName, isDefault: `default`)
            if !detach { try await client.finishShowing(asked.operation, quiet: global.quiet) }
            let now = detach ? asked.subject : try await client.kernel(asked.subject.metadata.id.description)
            try global.printed.mutated(now, name: now.metadata.name)
            return 0
        }
    }
}
