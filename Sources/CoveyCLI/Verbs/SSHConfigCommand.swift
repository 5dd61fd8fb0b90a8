internal import ArgumentParser
internal import CoveyModel
internal import CoveySystem

/// `covey ssh-config`.
struct SSHConfigCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ssh-config", abstract: "Let ssh, scp, rsync, git and editors reach machines as NAME.vm.",
        discussion: """
            It prints what ssh is to be told. --install writes that into a file of its own, and one Include line at the top \
            of ~/.ssh/config; --uninstall takes both away again. Nothing else is changed. COVEY_HOST and COVEY_TENANT, \
            or the options, are written down where they are given.

            Example: covey ssh-config --install && ssh web.vm
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Write the file, and the line that leads to it.")
    var install = false

    @Flag(help: "Remove them.")
    var uninstall = false

    @Option(help: "The user's configuration of ssh, instead of ~/.ssh/config.")
    var file: String?

    func validate() throws {
        if install && uninstall { throw ValidationError("--install and --uninstall exclude each other") }
    }

    func perform() async throws -> Int32 {
        let folder = try SSHFolder.ofUser()
        let settings = try global.sshSettings(folder)
        guard install || uninstall else {
            Standard.output(settings.configuration)
            return 0
        }
        let changed = try await BlockingPool("covey-ssh").run { _ in
            let target = try file ?? "\(SSHFolder.home())/.ssh/config"
            let installation = SSHInstallation(file: target, folder: folder)
            return try install ? installation.install(settings) : installation.uninstall()
        }
        Standard.error(changed ? "" : "nothing had to be changed\n")
        return 0
    }
}
