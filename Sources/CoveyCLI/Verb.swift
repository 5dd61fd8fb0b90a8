internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What every verb takes.
struct GlobalOptions: ParsableArguments, Sendable {
    @Option(name: .shortAndLong, help: "How results are printed: table, json, yaml or name.")
    var output: OutputFormat = .table

    @Flag(name: .short, help: "Print names only.")
    var quiet = false

    @Option(help: "The daemon, such as unix:/run/covey/covey.sock (COVEY_HOST).")
    var host: String?

    @Option(help: "The tenant (COVEY_TENANT).")
    var tenant: String?

    @Flag(name: .customLong("no-color"), help: "Print no colours (NO_COLOR).")
    var noColor = false

    @Flag(name: .shortAndLong, help: "Say more on standard error.")
    var verbose = false

    /// How results are printed.
    var printed: Output { Output(format: quiet ? .name : output) }

    /// The daemon. Errors: an address that cannot be read.
    var endpoint: DaemonEndpoint {
        get throws(CoveyError) {
            guard let text = host ?? ProcessEnvironment["COVEY_HOST"] else { return .standard }
            return try DaemonEndpoint(text)
        }
    }

    /// Runs `body` with a connection to the daemon.
    func connect<Result: Sendable>(
        _ body: @escaping @Sendable (CoveyClient) async throws -> Result
    ) async throws -> Result {
        let name = tenant ?? ProcessEnvironment["COVEY_TENANT"] ?? Tenant.standard.description
        _ = try Tenant(name)
        let endpoint = try endpoint
        if verbose { Standard.error("covey: \(endpoint), tenant \(name)\n") }
        return try await CoveyClient.connect(to: endpoint, tenant: name, body)
    }
}

/// A verb of the command line.
protocol Verb: AsyncParsableCommand, Sendable {
    var global: GlobalOptions { get }

    /// Does it. Returns the exit code.
    func perform() async throws -> Int32

    /// Does it, tells a failure, and returns the exit code.
    func execute() async -> Int32

    /// The exit code of a failure.
    func exitCode(of error: CoveyError) -> Int32
}

extension Verb {
    func exitCode(of error: CoveyError) -> Int32 { error.code.exitCode }

    /// Does it, tells a failure, and returns the exit code.
    func execute() async -> Int32 {
        do {
            return try await perform()
        } catch let code as ExitCode {
            return code.rawValue
        } catch let error as ValidationError {
            Standard.error("error: \(error.message)\n")
            return ErrorCode.invalid.exitCode
        } catch {
            let known = CoveyError.wrapping(error)
            Standard.error(ErrorText.lines(known))
            return exitCode(of: known)
        }
    }

    mutating func run() async throws {
        let code = await execute()
        if code != 0 { throw ExitCode(code) }
    }
}
