/// The rules of names.
package enum Names {
    /// Throws ``ErrorCode/invalid`` where a name is no DNS label (RFC 1123: `a-z`, `0-9`, `-`; at most 63).
    package static func checkLabel(_ name: String, kind: String) throws(CoveyError) {
        let valid =
            (1...63).contains(name.utf8.count) && name.first != "-" && name.last != "-"
            && name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
        guard !valid else { return }
        throw CoveyError(
            .invalid, "\(kind) name \"\(name)\" is no DNS label",
            remedy: "use 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends",
            resource: ResourceReference(kind, name))
    }

    /// Throws where an image name has other than letters, digits and `._-/:@` or more than 255 bytes.
    package static func checkImage(_ name: String) throws(CoveyError) {
        let valid =
            (1...255).contains(name.utf8.count)
            // A text's own `contains` would link the regular expressions, a megabyte, into guest and guard.
            && !zip(name.utf8, name.utf8.dropFirst()).contains { $0 == $1 && "./".utf8.contains($0) }
            && name.utf8.allSatisfy { byte in
                (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
                    || "._-/:@".utf8.contains(byte)
            } && name.first?.isLetter == true || name.first?.isNumber == true
        guard !valid else { return }
        throw CoveyError(
            .invalid, "image name \"\(name)\" is not valid",
            remedy: "write it as docker does: debian, debian:bookworm, registry.example.com/team/app:1.2",
            resource: ResourceReference("image", name))
    }

    /// Throws where a kernel name has other than letters, digits and `._+-` or more than 128 bytes.
    package static func checkKernel(_ name: String) throws(CoveyError) {
        let valid =
            (1...128).contains(name.utf8.count) && (name.first?.isLetter == true || name.first?.isNumber == true)
            && name.utf8.allSatisfy { byte in
                (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
                    || "._+-".utf8.contains(byte)
            }
        guard !valid else { return }
        throw CoveyError(
            .invalid, "kernel name \"\(name)\" is not valid", remedy: "use a release name such as 6.1.0-42-cloud-amd64",
            resource: ResourceReference("kernel", name))
    }
}

/// The tenant that every key, request and repository call carries.
package struct Tenant: Hashable, Sendable, CustomStringConvertible {
    /// Its name, a DNS label.
    package let description: String

    /// A tenant by name. Errors: ``ErrorCode/invalid`` for a name that is no DNS label.
    package init(_ name: String) throws(CoveyError) {
        try Names.checkLabel(name, kind: "tenant")
        description = name
    }

    private init(trusted: String) { description = trusted }

    /// The tenant of callers that name none.
    package static let standard = Tenant(trusted: "default")
}
