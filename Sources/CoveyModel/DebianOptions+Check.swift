extension DebianOptions {
    private static var mostPackages: Int { 200 }
    private static var mostKeys: Int { 64 }

    /// Throws ``ErrorCode/invalid`` for what could not stand in an argument or a list of keys.
    package func check() throws(CoveyError) {
        guard packages.count <= DebianOptions.mostPackages, sshKeys.count <= DebianOptions.mostKeys else {
            throw CoveyError(
                .invalid, "more than \(DebianOptions.mostPackages) packages or \(DebianOptions.mostKeys) keys")
        }
        for package in packages {
            // Debian policy 5.6.7.
            let valid =
                (2...100).contains(package.utf8.count) && package.first?.isASCII == true
                && (package.first?.isLowercase == true || package.first?.isNumber == true)
                && package.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || "+-.".contains($0)) }
            guard valid else {
                throw CoveyError(
                    .invalid, "\"\(package)\" is no Debian package", remedy: "use a name such as openssh-server")
            }
        }
        if let mirror {
            let valid =
                (mirror.hasPrefix("http://") || mirror.hasPrefix("https://")) && mirror.utf8.count <= 512
                && mirror.utf8.allSatisfy { (33...126).contains($0) && $0 != 91 && $0 != 93 }
            guard valid else {
                throw CoveyError(
                    .invalid, "\"\(mirror)\" is no mirror", remedy: "use one such as https://deb.debian.org/debian")
            }
        }
        for key in sshKeys {
            let words = key.split(separator: " ")
            let valid =
                key.utf8.count <= 16384 && key.utf8.allSatisfy { $0 >= 32 && $0 != 127 } && words.count >= 2
                && ["ssh-", "ecdsa-", "sk-"].contains { words[0].hasPrefix($0) }
            guard valid else {
                throw CoveyError(
                    .invalid, "an ssh key is not a line of a .pub file",
                    remedy: "give a file such as ~/.ssh/id_ed25519.pub")
            }
        }
    }
}
