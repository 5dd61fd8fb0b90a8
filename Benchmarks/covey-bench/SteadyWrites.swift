internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import Foundation

/// Writes that are begun one every 20 ms, whatever became of those before; each that is acknowledged prints when it was
/// sent and when its answer came, in seconds of CLOCK_MONOTONIC.
struct SteadyWrites {
    private static let pause = Duration.milliseconds(20)

    /// `etcd://…` with all members.
    let place: String
    let limit: Duration
    /// Whether the generated client writes, once through each member at a time, instead of the store.
    let isBare: Bool

    /// Writes until the time is over.
    func run() async throws {
        var writers: [@Sendable (Int) async throws -> Void] = []
        if isBare {
            for endpoint in try EtcdAddress(place).endpoints {
                let client = try BareEtcd(endpoint)
                writers.append { try await client.put("steady/\($0)", StoreWork.value, within: .seconds(1)) }
            }
        } else {
            let store = try await StoreWork.open(place)
            writers.append { number in
                _ = try await store.transact(
                    Transaction(success: [.put(StoreKey("steady/\(number)"), StoreWork.value)]))
            }
        }
        let clock = ContinuousClock()
        let start = clock.now
        await withDiscardingTaskGroup { group in
            var number = 0
            while start.duration(to: clock.now) < limit {
                for writer in writers {
                    group.addTask { [number] in await Self.attempt(number, writer) }
                }
                number += 1
                do { try await clock.sleep(for: Self.pause) } catch { break }
            }
            group.cancelAll()
        }
    }

    private static func attempt(_ number: Int, _ write: @Sendable (Int) async throws -> Void) async {
        let sent = now()
        do { try await write(number) } catch {
            // What is not acknowledged does not count.
            return
        }
        FileHandle.standardOutput.write(Data("\(sent) \(now())\n".utf8))
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
