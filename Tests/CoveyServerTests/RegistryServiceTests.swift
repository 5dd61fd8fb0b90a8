import CoveyClient
import CoveyModel
import Synchronization
import Testing

@testable import CoveyServer

@Suite struct RegistryServiceTests {
    @Test("a pull keeps its credentials with the node and out of the record, and is one however often it is asked for")
    func pull() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let credentials = RegistryCredentials(user: "ann", password: "secret")
                let first = try await client.pullImage(
                    "registry.example.com/team/app:1", credentials: credentials, requestID: "one")
                #expect(first.image.metadata.name == "registry.example.com/team/app:1")
                guard case .registry(let pull) = first.image.spec.source else {
                    Issue.record("it is another source")
                    return
                }
                let access = try #require(pull.access)
                #expect(test.gateway.state.withLock { $0.kept[access] } == credentials)
                #expect(!"\(first.image)".contains("secret"))
                let again = try await client.pullImage("registry.example.com/team/app:1", credentials: credentials)
                #expect(again.image.metadata.id == first.image.metadata.id)
                #expect(again.operation?.metadata.id == first.operation?.metadata.id)
                let other = await failure {
                    try await client.pullImage(
                        "registry.example.com/team/other:1", name: "registry.example.com/team/app:1")
                }
                #expect(other?.code == .conflict && other?.remedy?.contains("--name") == true)
                #expect(test.gateway.state.withLock { $0.kept.count } == 1)
                let bad = await failure { try await client.pullImage("Not A Reference") }
                #expect(bad?.code == .invalid)
            }
        }
    }

    @Test("a name without registry and tag is the one that docker means")
    func names() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                let made = try await client.pullImage("alpine")
                #expect(made.image.metadata.name == "alpine:latest")
                let named = try await client.pullImage("docker.io/library/alpine:latest")
                #expect(named.image.metadata.id == made.image.metadata.id)
            }
        }
    }

    @Test("a login is tried, and an image without layers is not exported")
    func loginAndExport() async throws {
        try await TestServer.with { test in
            try await test.call { client in
                try await client.checkLogin(
                    registry: "localhost:5000", RegistryCredentials(user: "ann", password: "right"))
                let wrong = await failure {
                    try await client.checkLogin(
                        registry: "localhost:5000", RegistryCredentials(user: "ann", password: "wrong"))
                }
                #expect(wrong?.code == .unauthenticated)
                _ = try await client.pullImage("alpine")
                let export = await failure { try await client.exportImage("alpine:latest") { _ in } }
                #expect(export?.code == .unsupported)
            }
        }
    }
}
