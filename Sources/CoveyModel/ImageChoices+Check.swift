extension ImageChoices {
    private static var mostWords: Int { 1024 }
    private static var longestWord: Int { 65536 }

    /// Throws ``ErrorCode/invalid`` for what no program could be started with.
    package func check() throws(CoveyError) {
        let words = (entrypoint ?? []) + (command ?? []) + environment.flatMap { [$0.key, $0.value] }
        let plain = words + [workingDirectory, user, initPath].compactMap(\.self)
        guard words.count <= ImageChoices.mostWords,
            plain.allSatisfy({ $0.utf8.count <= ImageChoices.longestWord && !$0.utf8.contains(0) })
        else { throw CoveyError(.invalid, "the image's programs have too many or too long words") }
        guard entrypoint?.first != "", entrypoint != nil || command?.first != "" else {
            throw CoveyError(.invalid, "the image's program has no name", remedy: "name it with --entrypoint or --cmd")
        }
        for name in environment.keys where name.isEmpty || name.utf8.contains(61) {
            throw CoveyError(.invalid, "\"\(name)\" is no name of a variable", remedy: "write NAME=VALUE")
        }
        if let workingDirectory, !workingDirectory.hasPrefix("/") {
            throw CoveyError(.invalid, "the folder \(workingDirectory) is not absolute", remedy: "write it from / on")
        }
        if let initPath, initPath != "none", !initPath.hasPrefix("/") {
            throw CoveyError(.invalid, "the init \(initPath) is not absolute", remedy: "write it from / on, or none")
        }
    }
}
