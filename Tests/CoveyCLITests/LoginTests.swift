import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyCLI

@Suite struct LoginTests {
    private func with(_ body: (String) async throws -> Void) async throws {
        let folder = "/tmp/cvy-login-\(getpid())-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        do {
            try await body(folder)
            try removeTree(folder)
        } catch {
            try removeTree(folder)
            throw error
        }
    }

    private func logins(_ variables: [String: String]) -> RegistryLogins { RegistryLogins { variables[$0] } }

    @Test("a login is kept for its owner alone, beside what docker keeps there, and forgotten again")
    func roundTrip() async throws {
        try await with { folder in
            try makeFolder("\(folder)/.docker")
            let file = "\(folder)/.docker/config.json"
            try writeFileAtomically(file, Array(#"{"auths":{},"currentContext":"x"}"#.utf8), mode: 0o644)
            let logins = logins(["HOME": folder])
            let credentials = RegistryCredentials(user: "ann", password: "se:cret")
            #expect(try await logins.save("docker.io", credentials) == file)
            #expect(try FileFacts(file).mode == 0o600)
            #expect(try readText(file).contains("currentContext"))
            #expect(try readText(file).contains("https://index.docker.io/v1/"))
            #expect(try await logins.credentials(for: ImageReference("debian")) == credentials)
            #expect(try await logins.credentials(for: ImageReference("localhost/x")) == nil)
            #expect(try await logins.remove("docker.io"))
            #expect(try await logins.credentials(for: ImageReference("debian")) == nil)
            #expect(try await logins.remove("docker.io") == false)
        }
    }

    @Test("the most special entry wins, and the files are looked into in podman's order")
    func order() async throws {
        try await with { folder in
            let runtime = "\(folder)/containers/auth.json"
            try makeFolder("\(folder)/containers")
            func auth(_ text: String) -> String { #"{"auth":"\#(text)"}"# }
            // ann:1 and bob:2.
            let text = #"{"auths":{"quay.io":\#(auth("YW5uOjE=")),"quay.io/team":\#(auth("Ym9iOjI="))}}"#
            try writeFileAtomically(runtime, Array(text.utf8))
            let logins = logins(["HOME": "\(folder)/home", "XDG_RUNTIME_DIR": folder])
            #expect(try await logins.credentials(for: ImageReference("quay.io/team/app"))?.user == "bob")
            #expect(try await logins.credentials(for: ImageReference("quay.io/other/app"))?.user == "ann")
            #expect(try logins.target() == runtime)
            let named = self.logins(["HOME": folder, "REGISTRY_AUTH_FILE": "\(folder)/mine"])
            #expect(try named.target() == "\(folder)/mine")
            #expect(try await named.credentials(for: ImageReference("quay.io/team/app")) == nil)
        }
    }

    @Test("a file that cannot be read is said, and not written over")
    func damaged() async throws {
        try await with { folder in
            let file = "\(folder)/auth.json"
            try writeFileAtomically(file, Array("{\"auths\":".utf8))
            let logins = logins(["REGISTRY_AUTH_FILE": file])
            await #expect(throws: CoveyError.self) { _ = try await logins.credentials(for: ImageReference("debian")) }
            await #expect(throws: CoveyError.self) {
                _ = try await logins.save("docker.io", RegistryCredentials(user: "a", password: "b"))
            }
            #expect(try readText(file) == "{\"auths\":")
        }
    }

    @Test("a credential helper is asked, and one that is missing is named")
    func helpers() async throws {
        try await with { folder in
            let file = "\(folder)/auth.json"
            try writeFileAtomically(file, Array(#"{"credHelpers":{"quay.io":"covey-test-none"}}"#.utf8))
            let logins = logins(["REGISTRY_AUTH_FILE": file])
            do {
                _ = try await logins.credentials(for: ImageReference("quay.io/a/b"))
                Issue.record("a helper that is not there was asked")
            } catch let error as CoveyError {
                #expect(error.code == .unavailable && error.message.contains("docker-credential-covey-test-none"))
            }
            let helper = "\(folder)/docker-credential-x"
            let script = """
                #!/bin/sh
                read server
                [ "$server" = quay.io ] || { echo 'credentials not found in native keychain'; exit 1; }
                echo '{"ServerURL":"quay.io","Username":"<token>","Secret":"t"}'

                """
            try writeFileAtomically(helper, Array(script.utf8), mode: 0o755)
            let found = CredentialHelper(name: "x", folders: [folder])
            #expect(try await found.credentials("quay.io")?.identityToken == "t")
            #expect(try await found.credentials("other.io") == nil)
        }
    }

    @Test(
        "a host is written without scheme and path",
        arguments: ["https://quay.io", "quay.io/team", "", "a b", "UPPER/x"])
    func hosts(_ text: String) { #expect(throws: CoveyError.self) { try RegistryHost(text) } }
}
