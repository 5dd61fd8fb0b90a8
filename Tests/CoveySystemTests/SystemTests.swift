import CoveyModel
import CoveySystem
import Foundation
import Synchronization
import Testing

/// A folder that is removed at the end of a test.
func withFolder<T>(_ body: (String) async throws -> T) async throws -> T {
    let path = "/tmp/covey-system-\(UInt64.random(in: .min ... .max))"
    try makeFolder(path)
    do {
        let result = try await body(path)
        try removeTree(path)
        return result
    } catch {
        try removeTree(path)
        throw error
    }
}

@Suite struct DeadlineTests {
    @Test("an operation that ends in time gives its result")
    func inTime() async throws {
        #expect(try await withDeadline(.seconds(30), "x") { 7 } == 7)
    }

    @Test("an operation that ignores cancellation is abandoned at the deadline")
    func abandoned() async throws {
        let release = Mutex<CheckedContinuation<Void, Never>?>(nil)
        let error = await #expect(throws: CoveyError.self) {
            try await withDeadline(.milliseconds(20), "the deaf one") {
                await withCheckedContinuation { continuation in release.withLock { $0 = continuation } }
            }
        }
        #expect(error?.code == .deadline)
        #expect(error?.message.contains("the deaf one") == true)
        release.withLock { $0?.resume() }
    }

    @Test("cancelling the caller ends the wait")
    func cancelled() async {
        let task = Task { try await withDeadline(.seconds(600), "x") { try await Task.sleep(for: .seconds(600)) } }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}

@Suite struct FileTests {
    @Test("a file written atomically is there with its mode and leaves nothing beside it")
    func atomic() async throws {
        try await withFolder { folder in
            try writeFileAtomically("\(folder)/a", Array("one".utf8), mode: 0o640)
            try writeFileAtomically("\(folder)/a", Array("two".utf8), mode: 0o640)
            #expect(try readText("\(folder)/a") == "two")
            #expect(try listFolder(folder) == ["a"])
            let mode = try FileManager.default.attributesOfItem(atPath: "\(folder)/a")[.posixPermissions] as? Int
            #expect(mode == 0o640)
        }
    }

    @Test("a write into a folder that is not there says which file")
    func missing() {
        let error = #expect(throws: SystemError.self) { try writeFileAtomically("/nonexistent/a", []) }
        #expect(error?.description.contains("/nonexistent/a") == true)
    }

    @Test("a tree is removed without following its links")
    func removeLinks() async throws {
        try await withFolder { folder in
            try makeFolder("\(folder)/kept")
            try writeFileAtomically("\(folder)/kept/file", [])
            try makeFolder("\(folder)/gone/deep")
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/gone/link", withDestinationPath: "\(folder)/kept")
            try removeTree("\(folder)/gone")
            try removeTree("\(folder)/gone")
            #expect(try listFolder(folder) == ["kept"])
            #expect(fileExists("\(folder)/kept/file"))
        }
    }

    @Test("a file beyond the limit is refused")
    func limit() async throws {
        try await withFolder { folder in
            try writeFileAtomically("\(folder)/a", [UInt8](repeating: 1, count: 5000))
            #expect(try readFile("\(folder)/a", limit: 5000).count == 5000)
            #expect(throws: SystemError.self) { try readFile("\(folder)/a", limit: 4999) }
        }
    }
}

@Suite struct StreamTests {
    @Test("ten megabytes go through a socket pair byte for byte, with a reader that waits")
    func bytes() async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        var pair = try socketPair()
        let left = try ByteStream(pair.takeFirst(), reactor: reactor)
        let right = try ByteStream(pair.takeSecond(), reactor: reactor)
        let sent = (0..<10_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        async let writing: Void = left.write(sent)
        var received: [UInt8] = []
        while received.count < sent.count { received += try await right.read() }
        try await writing
        #expect(received == sent)
        left.shutdown()
        #expect(try await right.read().isEmpty)
    }

    @Test("a waiting reader ends when its task is cancelled, and the stream can be read again")
    func cancelRead() async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        var pair = try socketPair()
        let left = try ByteStream(pair.takeFirst(), reactor: reactor)
        let right = try ByteStream(pair.takeSecond(), reactor: reactor)
        for _ in 0..<50 {
            let task = Task { try await right.read() }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        try await left.write([1, 2, 3])
        #expect(try await right.read() == [1, 2, 3])
    }

    @Test("a shut down reactor lets its waiters go")
    func shutdown() async throws {
        let reactor = try Reactor()
        var pair = try socketPair()
        let stream = try ByteStream(pair.takeFirst(), reactor: reactor)
        let task = Task { try await stream.read() }
        reactor.shutdown()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("a Unix socket's file is for its owner alone, and a second listener is refused")
    func unixSocket() async throws {
        try await withFolder { folder in
            let path = "\(folder)/s"
            let listener = try listenUnix(path)
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            let error = #expect(throws: SystemError.self) { _ = try listenUnix(path) }
            #expect(error?.isErrno(EADDRINUSE) == true)
            let reactor = try Reactor()
            defer { reactor.shutdown() }
            let client = try await ByteStream.connect(to: path, reactor: reactor)
            try await client.write([9])
            try await reactor.readable(listener.raw)
            guard let accepted = try acceptUnix(listener.raw) else {
                Issue.record("no connection waits")
                return
            }
            let server = try ByteStream(accepted, reactor: reactor)
            #expect(try await server.read() == [9])
        }
    }

    @Test("a path longer than a socket's address is refused, not cut")
    func longPath() {
        let error = #expect(throws: SystemError.self) {
            _ = try listenUnix("/tmp/" + String(repeating: "x", count: 110))
        }
        #expect(error?.isErrno(ENAMETOOLONG) == true)
    }
}

/// Holds a descriptor where a closure needs it.
private final class SharedEnd {
    let descriptor: FileDescriptor
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
}

@Suite struct EventLoopTests {
    @Test("timers run in the order of their time and a cancelled one not at all")
    func timers() throws {
        let loop = try EventLoop()
        var order: [Int] = []
        loop.after(.milliseconds(20)) {
            order.append(3)
            loop.stop()
        }
        loop.after(.milliseconds(5)) { order.append(1) }
        let cancelled = loop.after(.milliseconds(6)) { order.append(99) }
        loop.after(.milliseconds(10)) { order.append(2) }
        loop.cancel(cancelled)
        try loop.run()
        #expect(order == [1, 2, 3])
    }

    @Test("a handler may remove and close its own descriptor and the next one's")
    func removal() throws {
        let loop = try EventLoop()
        var pipe = try makePipe(nonBlocking: true)
        let end = SharedEnd(pipe.takeFirst())
        let writer = pipe.takeSecond()
        try writeAll(writer.raw, [1])
        var calls = 0
        let reader = end.descriptor.raw
        try loop.add(reader, .readable) { _ in
            calls += 1
            loop.remove(reader)
            loop.post { loop.stop() }
        }
        try loop.run()
        #expect(calls == 1)
    }

    @Test("a waker on another thread turns the loop")
    func wake() throws {
        let loop = try EventLoop()
        let waker = loop.waker
        loop.onWake = { loop.stop() }
        startThread(named: "waker") { waker.wake() }
        try loop.run()
    }
}
