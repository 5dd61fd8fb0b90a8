extension ImageConfiguration {
    /// The same with what a user chose in place of it; without an init that nobody asked for.
    package func with(_ choices: ImageChoices) -> ImageConfiguration {
        var changed = self
        if let entrypoint = choices.entrypoint {
            // As docker does it: a new entrypoint takes no arguments of the old one.
            changed.entrypoint = entrypoint
            changed.command = []
        }
        if let command = choices.command { changed.command = command }
        changed.environment.merge(choices.environment) { $1 }
        if let folder = choices.workingDirectory { changed.workingDirectory = folder }
        if let user = choices.user { changed.user = user }
        if let path = choices.initPath, path != "none" { changed.initPath = path }
        return changed
    }
}
