/// What is added to a Debian suite when it is built.
package struct DebianOptions: Hashable, Codable, Sendable {
    /// Further packages.
    package var packages: [String]
    /// The mirror; nil is the host's own.
    package var mirror: String?
    /// Lines of root's `authorized_keys`.
    package var sshKeys: [String]

    /// Makes options.
    package init(packages: [String] = [], mirror: String? = nil, sshKeys: [String] = []) {
        self.packages = packages
        self.mirror = mirror
        self.sshKeys = sshKeys
    }
}

/// What a user says of an image's programs in place of what would be found in it.
package struct ImageChoices: Hashable, Codable, Sendable {
    /// What always runs first; nil is nothing.
    package var entrypoint: [String]?
    /// The arguments, or the program; nil is `/bin/sh` or nothing.
    package var command: [String]?
    /// Environment beside `PATH`.
    package var environment: [String: String]
    /// The folder programs start in.
    package var workingDirectory: String?
    /// The user programs run as.
    package var user: String?
    /// The image's own init: an absolute path, `none`; nil is what is found.
    package var initPath: String?

    /// Makes choices.
    package init(
        entrypoint: [String]? = nil, command: [String]? = nil, environment: [String: String] = [:],
        workingDirectory: String? = nil, user: String? = nil, initPath: String? = nil
    ) {
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.initPath = initPath
    }
}

/// What an image's own init is.
package enum InitSystem: String, Codable, Sendable, CaseIterable {
    /// There is none: the agent is PID 1.
    case none
    case systemd
    case openrc
    case busybox
    case other
}

/// A driver or feature of a kernel that microVMs use.
package struct KernelDriver: Hashable, Codable, Sendable {
    /// How a kernel has a driver.
    package enum Presence: String, Codable, Sendable, CaseIterable {
        /// Part of the kernel itself.
        case builtIn
        /// A module that is loaded when it is needed.
        case module
        /// Not there.
        case missing
    }

    /// The module's name, as `modprobe` takes it.
    package var name: String
    /// Whether the kernel has it.
    package var presence: Presence

    /// Makes one.
    package init(name: String, presence: Presence) {
        self.name = name
        self.presence = presence
    }
}
