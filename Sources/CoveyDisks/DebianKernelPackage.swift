internal import CoveyModel
internal import CoveySystem

/// Debian's cloud kernel through the host's apt, which checks signatures and digests.
enum DebianKernelPackage {
    private static let meta = "linux-image-cloud-amd64"
    // Root's apt would else drop to a user that cannot enter our folder, and warn.
    private static let sandbox = ["-q", "-o", "APT::Sandbox::User=root"]

    /// Fetches the package that holds the kernel. Returns its path.
    ///
    /// Errors: ``ErrorCode/unavailable`` where apt does not know it or cannot reach its mirror.
    static func download(into folder: String) async throws -> String {
        do { return try await fetch(into: folder) } catch let error as CoveyError where error.code == .failure {
            // Lists that are missing or older than the mirror are the usual cause.
            do {
                try await Tool.aptGet.run(["update"] + sandbox, limit: .seconds(180))
                return try await fetch(into: folder)
            } catch let error as CoveyError where error.code == .failure || error.code == .deadline {
                throw CoveyError(
                    .unavailable, "Debian's cloud kernel cannot be fetched by apt",
                    remedy: "run: apt-get update, and look at its errors; or import a linux-image .deb file",
                    cause: ToolMessage(description: error.description))
            }
        }
    }

    private static func fetch(into folder: String) async throws -> String {
        let record = try await Tool.aptCache.run(["show", "--no-all-versions", meta], limit: .seconds(60)).text
        guard let package = dependency(in: record) else {
            throw CoveyError(.failure, "\(meta) names no kernel package")
        }
        try await Tool.aptGet.run(["download"] + sandbox + [package], in: folder, limit: .seconds(600))
        let found = try await BlockingPool().run { _ in
            try listFolder(folder).first { $0.hasPrefix("\(package)_") && $0.hasSuffix(".deb") }
        }
        guard let found else { throw CoveyError(.failure, "apt-get fetched nothing for \(package)") }
        return "\(folder)/\(found)"
    }

    /// The kernel package among the dependencies of a control record (deb-control(5)).
    static func dependency(in record: String) -> String? {
        for line in record.split(separator: "\n") where line.hasPrefix("Depends:") {
            for part in line.dropFirst("Depends:".count).split(whereSeparator: { ",|".contains($0) }) {
                let name = part.split(separator: " ").first ?? ""
                let allowed = name.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || "+.-".contains($0)) }
                if name.hasPrefix("linux-image-"), allowed { return String(name) }
            }
        }
        return nil
    }
}
