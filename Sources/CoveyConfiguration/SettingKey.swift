/// A setting's name in the file; `COVEY_` and the name in capitals with `_` is its environment variable.
package enum SettingKey: String, CaseIterable, Sendable {
    case apiRateLimit = "api.rate-limit"
    case catalogCA = "catalog.ca"
    case catalogSources = "catalog.sources"
    case consoleLimit = "console.limit"
    case diskStrategy = "disk.strategy"
    case etcdAuthority = "etcd.authority"
    case etcdJoin = "etcd.join"
    case etcdListen = "etcd.listen"
    case guestCA = "guest.ca"
    case guestProxy = "guest.proxy"
    case imageMirror = "image.mirror"
    case logLevel = "log.level"
    case machineAccel = "machine.accel"
    case machineCPUs = "machine.cpus"
    case machineMemory = "machine.memory"
    case networkMode = "network.mode"
    case networkNames = "network.names"
    case networkResolvers = "network.resolvers"
    case networkTaps = "network.taps"
    case nodeName = "node.name"
    case programGuard = "program.guard"
    case programGuest = "program.guest"
    case programQEMU = "program.qemu"
    case registryAuthorities = "registry.ca"
    case registryMirrors = "registry.mirrors"
    case registryPlainHTTP = "registry.plain-http"
    case socketGroup = "socket.group"
    case socketPath = "socket.path"
    case store = "store"

    /// The parts of the name.
    package var components: [String] { rawValue.split(separator: ".").map { String($0) } }

    /// `COVEY_API_RATE_LIMIT`.
    package var environmentVariable: String {
        "COVEY_" + rawValue.uppercased().map { $0 == "." || $0 == "-" ? "_" : String($0) }.joined()
    }

    /// What it is for, for people.
    package var explanation: String {
        switch self {
        case .apiRateLimit: "calls a second that one user may make"
        case .catalogCA: "a PEM file of further authorities that catalogs over HTTPS may be certified by"
        case .catalogSources: "catalogs of images and kernels, NAME=URL#KEY, with spaces between them"
        case .consoleLimit: "bytes of a machine's console that are kept"
        case .diskStrategy: "how root disks are made: auto, reflink, qcow2, device-mapper or copy"
        case .etcdAuthority:
            "the folder with ca.pem and ca.key that the members of an etcd share; empty is an authority of its own"
        case .etcdJoin:
            "members that the daemon's own etcd joins when it is made: HOST:PORT, more after commas; empty is none"
        case .etcdListen:
            "where other hosts reach the daemon's own etcd: ADDRESS:PORT for clients, and the next port for members; "
                + "empty is nowhere"
        case .guestCA: "a PEM file of further authorities that machines trust"
        case .guestProxy: "the HTTP proxy of machines' programs: http://HOST:PORT"
        case .imageMirror: "the mirror that Debian images are built from; empty is apt's own"
        case .logLevel: "trace, debug, info, notice, warning, error or critical"
        case .machineAccel: "the accelerator of machines that name none: auto, kvm or tcg"
        case .machineCPUs: "CPUs of machines that name none"
        case .machineMemory: "memory of machines that name none"
        case .networkMode: "auto, or off: machines have no networks and the host's is left alone"
        case .networkNames: "where this host asks for machines' names, ADDRESS:PORT; empty is nowhere"
        case .networkResolvers: "where names that are no machines' are asked for; empty is where this host asks"
        case .networkTaps: "interfaces that are made ahead of need"
        case .nodeName: "the node's name among the daemons of one store; empty is the host's"
        case .programGuard: "covey-guard; empty is the one beside covey"
        case .programGuest: "covey-guest; empty is the one beside covey"
        case .programQEMU: "qemu-system-x86_64; empty is the one in PATH"
        case .registryAuthorities: "a PEM file of authorities that sign registries' certificates, beside the system's"
        case .registryMirrors:
            "where images are asked for first: docker.io=https://mirror.example.com, more after commas"
        case .registryPlainHTTP: "registries that are spoken to without TLS: localhost:5000, more after commas"
        case .socketGroup: "the group whose members may use the daemon; empty is root's own"
        case .socketPath: "the API's Unix socket"
        case .store:
            "where state is kept: sqlite, etcd (a member of its own), or etcd://HOST:PORT,…/PREFIX?ca=FILE&cert=FILE&key=FILE"
        }
    }
}
