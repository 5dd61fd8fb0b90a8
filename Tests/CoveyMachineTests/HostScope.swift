import CoveyModel
import Testing

/// Gives a suite, or a test, a host of its own that is started when it is first asked for. Afterwards the host is
/// ended, and it is an issue when anything is left of it.
struct HostScope: SuiteTrait, TestTrait, TestScoping {
    /// The text of its configuration file.
    var configuration = ""

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let scoped = ScopedHost(configuration)
        var failure: (any Error)?
        do { try await ScopedHost.$current.withValue(scoped, operation: function) } catch { failure = error }
        let problems = await scoped.end()
        if !problems.isEmpty { Issue.record("left behind: \(problems.joined(separator: "\n"))") }
        if let failure { throw failure }
    }
}

extension Trait where Self == HostScope {
    /// A host of its own.
    static var host: Self { HostScope() }
    /// A host of its own with a configuration file.
    static func host(_ configuration: String) -> Self { HostScope(configuration: configuration) }
}

/// The host of a scope.
actor ScopedHost {
    @TaskLocal static var current: ScopedHost?

    private let configuration: String
    private var starting: Task<TestHost, any Error>?

    init(_ configuration: String) { self.configuration = configuration }

    /// The host, with a daemon and a kernel.
    func host() async throws -> TestHost {
        let task = starting ?? Task { [configuration] in try await Self.make(configuration) }
        starting = task
        return try await task.value
    }

    private static func make(_ configuration: String) async throws -> TestHost {
        let host = try await TestHost(configuration: configuration)
        do {
            try await host.start()
            try await host.importKernel()
        } catch {
            _ = await host.end()
            throw error
        }
        return host
    }

    func end() async -> [String] {
        guard let host = try? await starting?.value else { return [] }
        return await host.end()
    }
}

extension TestHost {
    /// The host of this suite or test. Errors: ``ErrorCode/internalError`` outside of a ``HostScope``.
    static func current() async throws -> TestHost {
        guard let scoped = ScopedHost.current else { throw CoveyError(.internalError, "there is no host scope") }
        return try await scoped.host()
    }

    /// Runs a test with a further host that has no kernel, and ends it.
    static func with(
        configuration: String = "", in network: TestNetwork? = nil, start: Bool = true,
        _ body: (TestHost) async throws -> Void
    ) async throws {
        let host = try await TestHost(configuration: configuration, in: network)
        var failure: (any Error)?
        do {
            if start { try await host.start() }
            try await body(host)
        } catch { failure = error }
        let problems = await host.end()
        if !problems.isEmpty { Issue.record("left behind: \(problems.joined(separator: "\n"))") }
        if let failure { throw failure }
    }
}
