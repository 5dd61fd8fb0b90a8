internal import CoveyModel
internal import Foundation

/// What cannot be measured through the command line. `Benchmarks/run` calls it and makes figures of its answers:
/// one JSON object on standard output.
@main
enum CoveyBench {
    static func main() async {
        do {
            let arguments = Array(CommandLine.arguments.dropFirst())
            let answer: [String: [Double]]
            switch (arguments.first, arguments.dropFirst().count) {
            case ("create-rate", 3):
                answer = try await CreateRate(
                    folder: arguments[1], creations: try number(arguments[2]), pairs: try number(arguments[3])
                ).run()
            case ("exec-rate", 4):
                answer = try await ExecRate(
                    socket: arguments[1], machine: arguments[2], calls: try number(arguments[3]),
                    pairs: try number(arguments[4])
                ).run()
            case ("sessions", 4):
                answer = try await Sessions(
                    socket: arguments[1], machine: arguments[2], count: try number(arguments[3]),
                    rounds: try number(arguments[4])
                ).run()
            case ("names-load", 3):
                answer = try await NamesLoad(
                    port: try number(arguments[1]), names: try number(arguments[2]),
                    questions: try number(arguments[3])
                ).run()
            case ("names-serve", 2):
                try await NamesServe(port: try number(arguments[1]), names: try number(arguments[2])).run()
                answer = [:]
            case ("store", 2):
                answer = try await StoreWork(place: arguments[1], rounds: try number(arguments[2])).run()
            case ("watch-fanout", 3):
                answer = try await WatchFanout(
                    place: arguments[1], watchers: try number(arguments[2]), rounds: try number(arguments[3])
                ).run()
            case ("steady-writes", 3):
                try await SteadyWrites(
                    place: arguments[2], limit: .seconds(try number(arguments[3])), isBare: arguments[1] == "bare"
                ).run()
                answer = [:]
            default:
                throw CoveyError(
                    .invalid, "unknown arguments",
                    remedy: """
                        covey-bench create-rate FOLDER CREATIONS PAIRS | exec-rate SOCKET VM CALLS PAIRS \
                        | sessions SOCKET VM COUNT ROUNDS \
                        | names-serve PORT NAMES | names-load PORT NAMES QUESTIONS \
                        | store PLACE ROUNDS | watch-fanout PLACE WATCHERS ROUNDS \
                        | steady-writes ours|bare ADDRESS SECONDS
                        """)
            }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            print(String(decoding: try encoder.encode(answer), as: UTF8.self))
        } catch {
            FileHandle.standardError.write(Data("error: \(error)\n".utf8))
            exit(1)
        }
    }

    private static func number(_ text: String) throws -> Int {
        guard let number = Int(text), number > 0 else { throw CoveyError(.invalid, "\"\(text)\" is no count") }
        return number
    }
}

/// How long something takes, in seconds.
func seconds(_ body: () async throws -> Void) async rethrows -> Double {
    let taken = try await ContinuousClock().measure { try await body() }
    return Double(taken.components.seconds) + Double(taken.components.attoseconds) * 1e-18
}
