internal import CoveyModel
internal import Testing

@testable internal import CoveyStore

@Suite("Records")
struct RecordTests {
    private struct Body: Codable, Hashable, Sendable {
        struct Part: Codable, Hashable, Sendable {
            var name: String
            var size: Int64?
        }
        var title: String
        var count: Int64?
        var labels: [String: String]
        var part: Part?
        var parts: [Part]
    }

    private let format = RecordFormat<Body>("test")

    private func rewrite(_ text: String, _ change: (inout Body) -> Void) throws -> String {
        var body = try format.decode(Array(text.utf8))
        change(&body)
        return String(decoding: try format.encode(body, over: Array(text.utf8)), as: UTF8.self)
    }

    @Test("unknown fields survive a read and write at every depth")
    func unknown() throws {
        let stored =
            #"{"data":{"count":1,"labels":{"a":"b"},"new":{"x":[1,2.5,null,true,18446744073709551615]},"part":"#
            + #"{"name":"p","tint":"red"},"parts":[{"name":"1","k":1},{"name":"2","k":2}],"title":"old"},"#
            + #""future":"yes","kind":"test","v":1}"#
        let written = try rewrite(stored) {
            $0.title = "new"
            $0.count = nil
            $0.labels = ["c": "d"]
            $0.part?.size = 4
            $0.parts.append(Body.Part(name: "3"))
            $0.parts.removeFirst()
        }
        #expect(
            written == #"{"data":{"labels":{"c":"d"},"new":{"x":[1,2.5,null,true,18446744073709551615]},"part":"#
                + #"{"name":"p","size":4,"tint":"red"},"parts":[{"k":2,"name":"2"},{"name":"3"}],"title":"new"},"#
                + #""future":"yes","kind":"test","v":1}"#)
    }

    @Test("a record of another kind, of a newer version, or that is none, is refused with the reason")
    func refused() {
        for (text, reason) in [
            (#"{"data":{},"kind":"other","v":1}"#, "is a other"), (#"{"data":{},"kind":"test","v":2}"#, "version 2"),
            ("no JSON", "cannot be read"), (#"{"data":{"labels":{},"parts":[]},"kind":"test","v":1}"#, "data.title"),
        ] {
            let error = #expect(throws: CoveyError.self) { try format.decode(Array(text.utf8)) }
            #expect(error?.code == .corrupt)
            #expect(error?.description.contains(reason) == true, "\(text): \(String(describing: error))")
        }
    }

    @Test("records of release 0.1 are still read")
    func golden() throws {
        let spec =
            #"{"data":{"createdAt":"2026-01-02T03:04:05.678Z","generation":3,"id":"00000000-0000-0003-0000-000000000004","#
            + #""labels":{"team":"a"},"name":"web","node":"00000000-0000-0001-0000-000000000002","spec":{"accel":"auto","#
            + #""cpus":2,"deleting":false,"environment":{},"forceStop":false,"image":"debian","memory":268435456,"#
            + #""ready":"agent","#
            + #""removeWhenStopped":false,"restart":"on-failure:3","restartRequest":0,"#
            + #""startRequest":1,"stopTimeoutMilliseconds":10000,"#
            + #""wanted":"running"},"tenant":"default","uidSlot":5},"kind":"vm.spec","v":1}"#
        let record = try VirtualMachine.specFormat.decode(Array(spec.utf8))
        #expect(record.name == "web" && record.uidSlot == 5 && record.spec.restart == .onFailure(limit: 3))
        #expect(String(decoding: try VirtualMachine.specFormat.encode(record), as: UTF8.self) == spec)
        let status =
            #"{"data":{"addresses":[],"conditions":[],"observedGeneration":1,"observedRestart":0,"#
            + #""observedStart":1,"phase":"running","#
            + #""ports":[],"restarts":0,"runGeneration":2,"timeline":[]},"kind":"vm.status","v":1}"#
        #expect(try VirtualMachine.statusFormat.decode(Array(status.utf8)).runGeneration == 2)
        let run =
            #"{"data":{"generation":7,"machine":"00000000-0000-0003-0000-000000000004","#
            + #""startedAt":"2026-01-02T03:04:05.678Z","state":"launching"},"kind":"node.run","v":1}"#
        #expect(try Run.format.decode(Array(run.utf8)).state == .launching)
        let request =
            #"{"data":{"createdAt":"2026-01-02T03:04:05.678Z","digest":"0011","target":"x"},"kind":"request","v":1}"#
        #expect(try RequestRecord.format.decode(Array(request.utf8)).operation == nil)
    }
}
