import CoveyAPI
import CoveyModel
import Testing

@Suite struct PrinterTests {
    private var machine: VirtualMachine {
        guard let id = MachineID("018bcfe5-6800-7000-8000-000000000001") else { return ConversionTests.machine }
        var status = MachineStatus(phase: .running)
        status.accel = .tcg
        status.timeline = [TimelineStage(stage: "image", milliseconds: 12)]
        status.conditions = [
            Condition(
                type: "Ready", state: .yes, reason: "Answered", message: "it \"answered\"\nonce",
                since: Timestamp(milliseconds: 1_700_000_000_000))
        ]
        return VirtualMachine(
            metadata: Metadata(
                id: id, name: "web", tenant: "default", labels: ["b": "2", "a": "true"],
                createdAt: Timestamp(milliseconds: 1_700_000_000_123)),
            spec: MachineSpec(image: "debian:bookworm"), status: status)
    }

    @Test("JSON has the model's fields in order, RFC 3339 times, bytes as integers, and no absent fields")
    func json() throws {
        let json = try ModelPrinter.list([machine], .json)
        #expect(
            json == """
                {
                  "items": [
                    {
                      "metadata": {
                        "id": "018bcfe5-6800-7000-8000-000000000001",
                        "name": "web",
                        "tenant": "default",
                        "labels": {
                          "a": "true",
                          "b": "2"
                        },
                        "createdAt": "2023-11-14T22:13:20.123Z",
                        "generation": 1,
                        "revision": 0
                      },
                      "spec": {
                        "wanted": "running",
                        "image": "debian:bookworm",
                        "cpus": 1,
                        "memory": 268435456,
                        "accel": "auto",
                        "restart": "never",
                        "environment": {},
                        "removeWhenStopped": false,
                        "ready": "image",
                        "stopTimeoutMilliseconds": 10000,
                        "forceStop": false,
                        "startRequest": 1,
                        "restartRequest": 0,
                        "deleting": false
                      },
                      "status": {
                        "phase": "running",
                        "accel": "tcg",
                        "runGeneration": 0,
                        "observedGeneration": 0,
                        "observedStart": 0,
                        "observedRestart": 0,
                        "addresses": [],
                        "ports": [],
                        "conditions": [
                          {
                            "type": "Ready",
                            "state": "true",
                            "reason": "Answered",
                            "message": "it \\"answered\\"\\nonce",
                            "since": "2023-11-14T22:13:20.000Z"
                          }
                        ],
                        "timeline": [
                          {
                            "stage": "image",
                            "milliseconds": 12
                          }
                        ],
                        "restarts": 0
                      }
                    }
                  ]
                }

                """)
    }

    @Test("YAML quotes what another reader could take for something else")
    func yaml() throws {
        let yaml = try ModelPrinter.object(machine, .yaml)
        #expect(
            yaml.hasPrefix(
                """
                metadata:
                  id: "018bcfe5-6800-7000-8000-000000000001"
                  name: web
                  tenant: default
                  labels:
                    a: "true"
                    b: "2"
                  createdAt: "2023-11-14T22:13:20.123Z"
                  generation: 1
                  revision: 0
                spec:
                  wanted: running
                  image: "debian:bookworm"

                """))
        #expect(
            yaml.contains(
                """
                  conditions:
                    - type: Ready
                      state: "true"

                """))
        #expect(yaml.contains("  addresses: []\n"))
    }

    @Test("an empty list is a list")
    func empty() throws {
        #expect(try ModelPrinter.list([Leak](), .json) == "{\n  \"items\": []\n}\n")
        #expect(try ModelPrinter.list([Leak](), .yaml) == "items: []\n")
    }
}
