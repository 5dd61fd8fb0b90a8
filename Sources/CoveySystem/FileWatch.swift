internal import CCovey
internal import Glibc

/// Tells when something in a folder is written, made or renamed. Source: inotify(7).
package final class FileWatch: Sendable {
    private let descriptor: FileDescriptor
    private let reactor: Reactor

    /// Watches a folder. Errors: ``SystemError`` where it does not exist.
    package init(folder: String, reactor: Reactor) throws(SystemError) {
        let raw = try check("inotify_init1") { inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)) }
        descriptor = FileDescriptor(owning: raw)
        self.reactor = reactor
        let mask = UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF)
        try check("inotify_add_watch", folder) { inotify_add_watch(raw, folder, mask) }
    }

    /// Suspends until something has happened since the last call.
    package func changed() async throws {
        while true {
            var any = false
            while let events = try readSome(descriptor.raw, limit: 16384), !events.isEmpty { any = true }
            if any { return }
            try await reactor.readable(descriptor.raw)
        }
    }
}
