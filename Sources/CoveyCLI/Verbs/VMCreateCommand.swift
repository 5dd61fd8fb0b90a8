internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm create`.
struct VMCreateCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make and start a machine, and return when it is ready.",
        discussion: "Example: covey vm create --name web --memory 512M debian")

    @OptionGroup var machine: MachineOptions
    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Do not wait, as --wait created.")
    var detach = false

    @Argument(help: "The image, such as debian or busybox.")
    var image: String

    func perform() async throws -> Int32 {
        let request = try machine.request(image: image, program: nil)
        let goal = machine.wait ?? (detach ? .created : .ready)
        return try await global.connect { client in
            _ = try await MissingImage(name: image, quiet: global.quiet).fetch(client)
            let made = try await client.createMachine(request)
            try await CreateWait(goal: goal, limit: machine.timeout?.duration, quiet: global.quiet)
                .wait(client, made)
            let now = goal == .created ? made.subject : try await client.machine(made.subject.metadata.id.description)
            try global.printed.mutated(now, name: made.subject.metadata.name)
            return 0
        }
    }
}
