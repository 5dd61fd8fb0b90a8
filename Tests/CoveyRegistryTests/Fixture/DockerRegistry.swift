import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing

/// Debian's docker-registry on a port of loopback, ended with the value.
final class DockerRegistry: Sendable {
    struct Options: Sendable {
        var tls = false
        var user: String?
        var password = "right"
        /// Where blobs are sent on to, by a middleware.
        var redirect: String?
    }

    let host: String
    /// The authority that signed its certificate; nil without TLS.
    let authority: String?
    private let scratch: Scratch
    private let process: ProcessDescriptor
    let storage: String

    /// Starts a registry and waits until it answers.
    static func start(_ options: Options = Options()) async throws -> DockerRegistry {
        let scratch = try Scratch("registry")
        let storage = try scratch.folder("storage")
        var settings = """
            version: 0.1
            log: {level: info}
            storage: {filesystem: {rootdirectory: \(storage)}, delete: {enabled: true}}
            http:
              addr: "127.0.0.1:0"
              secret: x

            """
        var authority: String?
        if options.tls {
            try await shell(
                """
                cd '\(scratch.path)'
                openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 3650 -subj '/CN=test authority' \
                    -addext 'basicConstraints=critical,CA:TRUE' 2>/dev/null
                openssl req -newkey rsa:2048 -nodes -keyout key.pem -out server.csr -subj '/CN=127.0.0.1' 2>/dev/null
                printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\n' > san
                openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile san \
                    -out cert.pem 2>/dev/null
                """)
            settings += "  tls: {certificate: \(scratch.path)/cert.pem, key: \(scratch.path)/key.pem}\n"
            authority = "\(scratch.path)/ca.crt"
        }
        if let user = options.user {
            try await shell("htpasswd -Bbn '\(user)' '\(options.password)' > '\(scratch.path)/htpasswd'")
            settings += "auth: {htpasswd: {realm: test, path: \(scratch.path)/htpasswd}}\n"
        }
        let file = try scratch.write("config.yml", settings)
        let log = "\(scratch.path)/log"
        let output = try openFile(log, [.writeOnly, .create, .append])
        let plan = SpawnPlan(
            arguments: ["/usr/bin/docker-registry", "serve", file], environment: ["PATH=/usr/bin:/bin"],
            descriptors: [1: output.raw, 2: output.raw], rights: .inherited)
        let started = try plan.start()
        let process = started.takeDescriptor()
        let port: String = try await withDeadline(.seconds(60), "docker-registry") {
            // Its log is the only way to hear of the port that it was given.
            while true {
                let text = String(decoding: try readFile(log), as: UTF8.self)
                if let at = text.firstRange(of: "listening on 127.0.0.1:") {
                    let digits = text[at.upperBound...].prefix { $0.isNumber }
                    if !digits.isEmpty { return String(digits) }
                }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        return DockerRegistry("127.0.0.1:\(port)", authority, scratch, process, storage)
    }

    private init(
        _ host: String, _ authority: String?, _ scratch: Scratch, _ process: consuming ProcessDescriptor,
        _ storage: String
    ) {
        self.host = host
        self.authority = authority
        self.scratch = scratch
        self.process = process
        self.storage = storage
    }

    deinit {
        // One that is not reaped hides the ends of other children from tests that wait for any.
        do throws(SystemError) { try process.kill() } catch { Issue.record(error) }
    }

    /// Pushes an image of a layout.
    func push(_ source: String, as name: String, options: String = "", login: String? = nil) async throws {
        let credentials = login.map { "--dest-creds '\($0)'" } ?? ""
        try await shell(
            "skopeo --insecure-policy copy -q --dest-tls-verify=false \(credentials) \(options) '\(source)' "
                + "'docker://\(host)/\(name)'")
    }
}
