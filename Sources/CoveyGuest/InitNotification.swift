internal import CCovey
internal import CoveySystem
internal import Glibc

/// Hears from an image's init that it has started all that it was to start, as systemd tells who runs it.
/// Source: sd_notify(3); systemd, src/core/manager.c (manager_notify_finished).
final class InitNotification {
    /// Where the init sends it.
    static let path = "/run/covey/notify"

    private let socket: FileDescriptor

    /// Binds the socket; before the init runs.
    init() throws(SystemError) {
        try makeFolder("/run/covey", mode: 0o755)
        if fileExists(InitNotification.path) { try removeFile(InitNotification.path) }
        socket = try bindDatagrams(InitNotification.path)
    }

    /// Whether an init speaks so: systemd does.
    static func speaks(_ program: String) -> Bool {
        var resolved = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        guard realpath(program, &resolved) != nil else { return false }
        let bytes = resolved.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self).hasSuffix("/systemd")
    }

    /// Listens; `ready` is called at each message that says so.
    func listen(on loop: EventLoop, _ ready: @escaping () -> Void) throws(SystemError) {
        try loop.add(socket.raw, .readable) { [weak self] _ in
            guard let self else { return }
            attempt { () throws(SystemError) in
                while let message = try readSome(self.socket.raw, limit: 4096) {
                    let lines = message.split(separator: 10)
                    if lines.contains(where: { $0.elementsEqual("READY=1".utf8) }) { ready() }
                    if message.isEmpty { return }
                }
            }
        }
    }
}
