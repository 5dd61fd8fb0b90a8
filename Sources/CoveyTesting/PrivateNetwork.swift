internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import Glibc

/// A network namespace of a test's own: nothing in it is the host's, and it goes with the last that uses it.
package final class PrivateNetwork: Sendable {
    private typealias Unshare = @convention(c) (Int32) -> Int32
    private typealias SetNamespace = @convention(c) (Int32, Int32) -> Int32
    private static let newNetwork: Int32 = 0x4000_0000

    private let namespace: SharedDescriptor

    /// Makes one with nothing in it but a loopback that is down. Errors: ``ErrorCode/denied`` without root.
    package init() async throws {
        namespace = try await Self.onThread {
            // Glibc's module leaves both out.
            let unshare = unsafeBitCast(try Self.function("unshare"), to: Unshare.self)
            try check("unshare", "network") { unshare(Self.newNetwork) }
            return SharedDescriptor(try openFile("/proc/thread-self/ns/net", .readOnly))
        }
    }

    /// Where programs find the namespace, as `nsenter --net=` and `ip … netns` take it; as long as this lives.
    package var path: String { "/proc/\(getpid())/fd/\(namespace.raw)" }

    /// Runs `body` on a thread in the namespace, and whatever it starts is in it as well.
    package func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        let namespace = namespace
        return try await Self.onThread {
            let enter = unsafeBitCast(try Self.function("setns"), to: SetNamespace.self)
            try check("setns", "network") { enter(namespace.raw, Self.newNetwork) }
            return try body()
        }
    }

    /// Runs a script in the namespace and returns what it wrote. Errors: ``ErrorCode/failure`` with that where it ended
    /// otherwise than with 0.
    @discardableResult
    package func shell(_ script: String) async throws -> String {
        try await run {
            let file = "/tmp/cvy-shell-\(UInt32.random(in: .min ... .max))"
            defer { unlink(file) }
            var pid = pid_t()
            let arguments = ["/bin/sh", "-ec", "exec >\(file) 2>&1\n\(script)"]
            var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
            defer { for case let text? in argv { free(text) } }
            let result = posix_spawn(&pid, "/bin/sh", nil, nil, &argv, environ)
            guard result == 0 else { throw SystemError("posix_spawn", "/bin/sh", errno: result) }
            var status: Int32 = 0
            try check("waitpid", "sh") { waitpid(pid, &status, 0) }
            let text = try readText(file)
            guard status == 0 else { throw CoveyError(.failure, "\(script): \(text)") }
            return text
        }
    }

    private static func function(_ name: String) throws -> UnsafeMutableRawPointer {
        guard let found = dlsym(nil, name) else { throw CoveyError(.unsupported, "the C library has no \(name)") }
        return found
    }

    private static func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            startThread(named: "network") { continuation.resume(with: Result(catching: body)) }
        }
    }
}
