internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey image register`.
struct ImageRegisterCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "register", abstract: "Make an image of a root file system: a file or a folder.",
        discussion: """
            A file is ext4, qcow2 (also with partitions) or a tar archive, plain or compressed by gzip, xz or zstd. It is \
            sent to the daemon, which opens no path that you name. What init it has is found.

            Example: covey image register web ./rootfs.ext4 --cmd /usr/sbin/nginx
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "A word of what always runs first. Repeatable.")
    var entrypoint: [String] = []

    @Option(
        name: .customLong("cmd"), parsing: .unconditionalSingleValue,
        help: "A word of the program that runs, or of its arguments. Repeatable.")
    var command: [String] = []

    @Option(name: .customLong("env"), help: "A variable of every program, NAME=VALUE. Repeatable.")
    var environment: [KeyValue] = []

    @Option(name: .customLong("init"), help: "The file system's own init, absolute, or none.")
    var initPath: String?

    @Option(help: "The user that programs run as.")
    var user: String?

    @Option(help: "The folder that programs start in.")
    var workdir: String?

    @Option(name: .customLong("label"), help: "A label, KEY=VALUE. Repeatable.")
    var labels: [KeyValue] = []

    @Flag(name: .shortAndLong, help: "Do not wait.")
    var detach = false

    @Argument(help: "The image's name.")
    var name: String

    @Argument(help: "The file or folder.", completion: .file())
    var source: String

    func perform() async throws -> Int32 {
        let choices = ImageChoices(
            entrypoint: entrypoint.isEmpty ? nil : entrypoint, command: command.isEmpty ? nil : command,
            environment: environment.map, workingDirectory: workdir, user: user, initPath: initPath)
        try choices.check()
        try Names.checkImage(name)
        let sent = try SentRoot(source)
        return try await global.connect { client in
            let asked = try await client.registerImage(
                name, file: sent.name, choices: choices, labels: labels.map, pieces: { try await sent.next() })
            if !detach { try await client.finishShowing(asked.operation, quiet: global.quiet) }
            let now = detach ? asked.subject : try await client.image(asked.subject.metadata.id.description)
            try global.printed.mutated(now, name: now.metadata.name)
            return 0
        }
    }
}

/// `covey image promote`.
struct ImagePromoteCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "promote", abstract: "Make an image of a stopped machine's disk.",
        discussion: """
            The image has the configuration of the one that the machine was made from.

            Example: covey image promote web web:2
            """)

    @OptionGroup var global: GlobalOptions

    @Option(name: .customLong("label"), help: "A label, KEY=VALUE. Repeatable.")
    var labels: [KeyValue] = []

    @Flag(name: .shortAndLong, help: "Do not wait.")
    var detach = false

    @Argument(help: "The machine.")
    var vm: String

    @Argument(help: "The image's name.")
    var name: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let asked = try await client.promote(vm, name: name, labels: labels.map)
            if !detach { try await client.finishShowing(asked.operation, quiet: global.quiet) }
            let now = detach ? asked.subject : try await client.image(asked.subject.metadata.id.description)
            try global.printed.mutated(now, name: now.metadata.name)
            return 0
        }
    }
}
