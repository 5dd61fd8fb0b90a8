// swift-tools-version: 6.2
import PackageDescription

let common: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
    .treatWarning("DeprecatedDeclaration", as: .warning),
]

let staticExecutable: [LinkerSetting] = [.unsafeFlags(["-static-executable"])]

let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let grpcCore = Target.Dependency.product(name: "GRPCCore", package: "grpc-swift-2")
let grpcInProcess = Target.Dependency.product(name: "GRPCInProcessTransport", package: "grpc-swift-2")
let grpcPosix = Target.Dependency.product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport")
let grpcProtobuf = Target.Dependency.product(name: "GRPCProtobuf", package: "grpc-swift-protobuf")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHPACK = Target.Dependency.product(name: "NIOHPACK", package: "swift-nio-http2")
let nioHTTP2 = Target.Dependency.product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

func module(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: common)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [], resources: [Resource] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, exclude: exclude, resources: resources, swiftSettings: common)
}

// Arrows point down only; scripts/check-direction refuses any other edge.
let base: [Target] = [
    .target(
        name: "CCovey",
        cSettings: [.define("_GNU_SOURCE"), .enableWarning("all"), .treatAllWarnings(as: .error)]
    ),
    .target(name: "CArchive", linkerSettings: [.linkedLibrary("archive")]),
    module("CoveyModel", []),
    module("CoveySystem", ["CCovey", "CoveyModel"]),
    // Packs and unpacks trees, in the guest as on the host, without a library.
    module("CoveyArchive", ["CoveySystem", "CoveyModel", "CCovey"]),
]

let contracts: [Target] = [
    module("CoveyGuestProtocol", ["CoveyModel"]),
    module("CoveyGuardProtocol", ["CoveyModel"]),
    module("CoveyStore", ["CoveyModel", crypto]),
    module("CoveyVMM", ["CoveyModel", "CoveySystem"]),
    module("CoveyImages", ["CoveyModel", "CoveySystem"]),
    module("CoveyNetwork", ["CoveyModel"]),
]

let adapters: [Target] = [
    module("CoveySQLiteStore", ["CoveyStore", "CoveyModel", grdb]),
    module(
        "CoveyEtcdStore",
        [
            "CoveyStore", "CoveyVMM", "CoveyModel", "CoveySystem", grpcCore, grpcPosix, grpcProtobuf, protobuf, nioCore,
            nioHTTP2, nioHPACK, crypto, x509, asn1,
        ]),
    module("CoveyQEMU", ["CoveyVMM", "CoveyModel", "CoveySystem", "CCovey"]),
    module(
        "CoveyDisks",
        ["CoveyImages", "CoveyRootDisks", "CoveyModel", "CoveySystem", "CCovey", "CArchive", subprocess, crypto]),
    module(
        "CoveyRegistry",
        [
            "CoveyImages", "CoveyModel", "CoveySystem", "CCovey", "CArchive", asyncHTTPClient, nioCore, nioHTTP1,
            nioSSL, crypto,
        ]),
    // Without packages, so that its conformance suite can also be a static program.
    module("CoveyRootDisks", ["CoveyImages", "CoveyModel", "CoveySystem", "CCovey"]),
    module("CoveyCatalogs", ["CoveyImages", "CoveyRegistry", "CoveyModel", "CoveySystem", crypto]),
    module("CoveyHostNetwork", ["CoveyNetwork", "CoveyModel", "CoveySystem", "CCovey"]),
    module("CoveyGuestChannel", ["CoveyGuestProtocol", "CoveyModel", "CoveySystem"]),
    module("CoveyGuardClient", ["CoveyGuardProtocol", "CoveyVMM", "CoveyModel", "CoveySystem"]),
    module("CoveyNames", ["CoveyNetwork", "CoveyModel", "CoveySystem", "CCovey"]),
]

let behaviour: [Target] = [
    module(
        "CoveyNode",
        [
            "CoveyStore", "CoveyVMM", "CoveyImages", "CoveyNetwork", "CoveyGuestProtocol", "CoveyArchive", "CoveyModel",
            "CoveySystem", logging,
        ]),
    module("CoveyGuard", ["CoveyGuardProtocol", "CoveyModel", "CoveySystem", "CCovey"]),
    module("CoveyGuest", ["CoveyGuestProtocol", "CoveyArchive", "CoveyModel", "CoveySystem", "CCovey"]),
]

let surfaces: [Target] = [
    module(
        "CoveyAPI", ["CoveyModel", grpcCore, grpcProtobuf, protobuf],
        resources: [.embedInCode("Generated/covey.binpb")]),
    module("CoveyConfiguration", ["CoveyModel", "CoveySystem", configuration, yams]),
    module("CoveyClient", ["CoveyAPI", "CoveyModel", "CoveySystem", grpcCore, grpcPosix]),
    module(
        "CoveyCLI",
        [
            "CoveyClient", "CoveyAPI", "CoveyArchive", "CoveyConfiguration", "CoveyModel", "CoveySystem",
            argumentParser, crypto,
        ]),
    module(
        "CoveyServer",
        [
            "CoveyAPI", "CoveyStore", "CoveyNetwork", "CoveyModel", "CoveySystem", grpcCore, grpcPosix, grpcProtobuf,
            nioCore, nioPosix, nioHTTP2, nioHPACK, logging, crypto,
        ]),
]

let assembly: [Target] = [
    module(
        "CoveyDaemon",
        [
            "CoveyServer", "CoveyNode", "CoveyStore", "CoveySQLiteStore", "CoveyEtcdStore", "CoveyVMM", "CoveyQEMU",
            "CoveyImages", "CoveyDisks", "CoveyRootDisks", "CoveyRegistry", "CoveyCatalogs", "CoveyGuestChannel",
            "CoveyGuestProtocol", "CoveyGuardClient", "CoveyHostNetwork", "CoveyNames", "CoveyNetwork", "CoveyModel",
            "CoveySystem", "CCovey", crypto, logging, serviceLifecycle, unixSignals,
        ])
]

let commit = Context.gitInformation.map { $0.currentCommit + ($0.hasUncommittedChanges ? "-dirty" : "") } ?? ""

let executables: [Target] = [
    .target(name: "CBuild", cSettings: [.define("COVEY_COMMIT", to: "\"\(commit)\"")]),
    .executableTarget(
        name: "covey",
        dependencies: [
            "CBuild", "CoveyCLI", "CoveyClient", "CoveyConfiguration", "CoveyDaemon", "CoveyModel", "CoveyNode",
            "CoveyRegistry",
            argumentParser, logging,
        ],
        swiftSettings: common),
    .executableTarget(
        name: "covey-guard", dependencies: ["CoveyGuard"], swiftSettings: common, linkerSettings: staticExecutable),
    .executableTarget(
        name: "covey-guest", dependencies: ["CoveyGuest"], swiftSettings: common, linkerSettings: staticExecutable),
    // The conformance suite of root disks as a program, for machines whose kernel has what the host's lacks.
    .executableTarget(
        name: "covey-disk-check",
        dependencies: ["CoveyDiskConformance", "CoveyRootDisks", "CoveyModel", "CoveySystem"],
        swiftSettings: common, linkerSettings: staticExecutable),
]

let beside: [Target] = [
    module(
        "CoveyTesting",
        ["CoveyStore", "CoveyVMM", "CoveyImages", "CoveyNetwork", "CoveyGuestProtocol", "CoveyModel", "CoveySystem"]),
    // Apart from CoveyTesting, which stands on the store: a static program holds this one.
    module("CoveyDiskConformance", ["CoveyImages", "CoveyModel", "CoveySystem"]),
    tests("CoveyModelTests", ["CoveyModel"]),
    tests("CoveySystemTests", ["CoveySystem", "CoveyModel"]),
    tests("CoveyArchiveTests", ["CoveyArchive", "CoveySystem", "CoveyModel", subprocess]),
    tests("CoveyStoreTests", ["CoveyStore", "CoveyTesting", "CoveyModel"]),
    tests(
        "CoveySQLiteStoreTests",
        ["CoveySQLiteStore", "CoveyStore", "CoveyTesting", "CoveyModel", grdb, subprocess]),
    tests(
        "CoveyEtcdStoreTests",
        [
            "CoveyDaemon", "CoveyEtcdStore", "CoveyStore", "CoveyTesting", "CoveyModel", "CoveySystem", "CoveyVMM",
            asn1, crypto, logging, subprocess, x509,
        ]),
    tests(
        "CoveyGuestTests",
        ["CoveyGuest", "CoveyGuestChannel", "CoveyGuestProtocol", "CoveyModel", "CoveySystem", "CoveyTesting"]),
    tests(
        "CoveyGuardTests",
        [
            "CoveyGuard", "CoveyGuardClient", "CoveyGuardProtocol", "CoveyVMM", "CoveyModel", "CoveySystem",
            "CoveyTesting",
        ]),
    tests(
        "CoveyHostNetworkTests",
        ["CoveyHostNetwork", "CoveyNetwork", "CoveyModel", "CoveySystem", "CoveyTesting", "CCovey"]),
    tests("CoveyQEMUTests", ["CoveyQEMU", "CoveyVMM", "CoveyModel", "CoveySystem", "CoveyTesting"]),
    tests(
        "CoveyDisksTests",
        [
            "CoveyDisks", "CoveyRootDisks", "CoveyDiskConformance", "CoveyImages", "CoveyModel", "CoveySystem",
            "CoveyTesting", "CArchive",
        ], exclude: ["Corpus"]),
    tests(
        "CoveyRegistryTests",
        [
            "CoveyRegistry", "CoveyDisks", "CoveyImages", "CoveyModel", "CoveySystem", "CoveyTesting", subprocess,
            crypto,
        ], exclude: ["Corpus"]),
    tests(
        "CoveyCatalogsTests",
        ["CoveyCatalogs", "CoveyImages", "CoveyModel", "CoveySystem", "CoveyTesting", crypto], exclude: ["Corpus"]),
    tests("CoveyNamesTests", ["CoveyNames", "CoveyNetwork", "CoveyModel", "CoveySystem", "CoveyTesting"]),
    tests(
        "CoveyNodeTests",
        [
            "CoveyNode", "CoveyStore", "CoveyVMM", "CoveyImages", "CoveyNetwork", "CoveyGuestProtocol", "CoveyModel",
            "CoveySystem", "CoveyTesting", logging,
        ]),
    tests(
        "CoveyServerTests",
        [
            "CoveyServer", "CoveyClient", "CoveyAPI", "CoveyStore", "CoveyNetwork", "CoveyModel", "CoveySystem",
            "CoveyTesting", grpcCore, grpcInProcess, grpcProtobuf, protobuf, logging,
        ]),
    tests(
        "CoveyCLITests",
        [
            "CoveyCLI", "CoveyClient", "CoveyAPI", "CoveyServer", "CoveyStore", "CoveyConfiguration", "CoveyModel",
            "CoveySystem", argumentParser, logging, yams,
        ]),
    // Real machines, root and the three programs: what a user does, end to end.
    tests(
        "CoveyMachineTests",
        ["CoveyTesting", "CoveyModel", "CoveySystem", subprocess, "covey"], exclude: ["Internet"]),
]

// What `Benchmarks/run` measures without a command line. No product needs it.
let benchmarks: [Target] = [
    .executableTarget(
        name: "covey-bench",
        dependencies: [
            "CoveyClient", "CoveyNames", "CoveyNetwork", "CoveyNode", "CoveySQLiteStore", "CoveyEtcdStore",
            "CoveyStore",
            "CoveyTesting", "CoveyModel", "CoveySystem", grdb, grpcCore, grpcPosix, logging,
        ], path: "Benchmarks/covey-bench", swiftSettings: common)
]

// Programs that tests run. They are no dependencies: a test that depends on a static program is linked statically too.
let programsOfTests = [
    "CoveyDisksTests": ["covey-disk-check"],
    "CoveyGuardTests": ["covey-guard"],
    "CoveyMachineTests": ["covey-guard", "covey-guest", "covey-disk-check"],
]

var targets = base + contracts + adapters + behaviour + surfaces + assembly + executables + beside + benchmarks

// COVEY_ONLY=A,B builds the named targets and what they stand on: most of the code builds in seconds
// without the heavy packages.
if let only = Context.environment["COVEY_ONLY"] {
    var wanted = Set(only.split(separator: ",").map(String.init))
    var before = 0
    while wanted.count > before {
        before = wanted.count
        for target in targets where wanted.contains(target.name) {
            wanted.formUnion(programsOfTests[target.name] ?? [])
            for case .byNameItem(let name, _) in target.dependencies { wanted.insert(name) }
        }
    }
    targets.removeAll { !wanted.contains($0.name) }
}

let usesPackages = targets.contains { target in
    target.dependencies.contains { if case .productItem = $0 { true } else { false } }
}
let programs = ["covey", "covey-guard", "covey-guest"].filter { name in targets.contains { $0.name == name } }

let package = Package(
    name: "covey",
    products: programs.map { .executable(name: $0, targets: [$0]) },
    dependencies: !usesPackages
        ? []
        : [
            .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
            .package(url: "https://github.com/apple/swift-asn1", from: "1.3.0"),
            .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
            .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
            .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
            .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
            .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
            .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
            .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
            .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
            .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.30.0"),
            .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
            .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
            .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
            .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
            .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
            .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
            .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
        ],
    targets: targets
)
