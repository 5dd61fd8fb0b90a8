# What quickstart and test share. Sourced, not run.

build_packages=(git pkg-config g++ libc6-dev libsqlite3-dev libarchive-dev zlib1g-dev binutils)
run_packages=(qemu-system-x86 qemu-utils e2fsprogs busybox-static mmdebstrap kmod libarchive13 libsqlite3-0 nftables)
test_packages=(tmux protobuf-compiler libprotobuf-dev python3 jq xz-utils zstd gzip lz4 procps util-linux xfsprogs
    docker-registry skopeo umoci iproute2 apache2-utils openssl rsync attr libcap2-bin curl
    etcd-server etcd-client musl musl-tools iproute2 openssh-client)

say() { printf '==> %s\n' "$*"; }

# One clear line and a remedy.
fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

# Goes on as root, through sudo where it has to; from the clone's folder. sudo may have a PATH of its own.
need_root() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || fail "this needs root" "run it as root, or install sudo"
    local name kept=("PATH=$PATH")
    for name in COVEY_HOST COVEY_ROOT COVEY_BUILD SWIFTLY_HOME_DIR SWIFTLY_BIN_DIR; do
        if [ -n "${!name:-}" ]; then kept+=("$name=${!name}"); fi
    done
    exec sudo env "${kept[@]}" "$PWD/$(basename "$0")" "$@"
}

need_swift() {
    if ! command -v swift >/dev/null; then
        for folder in /opt/swift/usr/bin /usr/share/swift/usr/bin /usr/local/swift/usr/bin; do
            [ -x "$folder/swift" ] && PATH="$folder:$PATH" && break
        done
    fi
    command -v swift >/dev/null || fail "Swift is not installed" "install Swift 6.3 from https://swift.org/install/linux"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    case $version in
    6.[3-9] | 6.[1-9][0-9] | [7-9].*) ;;
    *) fail "Swift ${version:-of unknown version} is too old" "install Swift 6.3 from https://swift.org/install/linux" ;;
    esac
}

# Installs Debian packages that are missing.
need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || fail "missing: ${missing[*]}" "install them with your package manager"
    say "install ${missing[*]}"
    local log
    log=$(mktemp)
    if ! (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}") >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        fail "the packages could not be installed: ${missing[*]}" "apt-get update && apt-get install ${missing[*]}"
    fi
    rm -f "$log"
}

# A build's output without its thousand lines of progress: errors, and how it ended.
build_log() { grep -vE 'in statically linked applications requires|is dangerous, better use|^Another instance of SwiftPM|^\[[0-9]+/[0-9]+\]|^(Fetching|Fetched|Computing|Computed|Creating|Working|Resolved)' || true; }
