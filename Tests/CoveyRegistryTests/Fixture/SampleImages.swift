import CoveyModel
import CoveySystem
import Glibc

/// Images made by Debian's tools, once for all tests.
struct SampleImages: Sendable {
    /// An OCI layout with the tags `tree` (several layers of all that tar can say) and `small`.
    let layout: String
    private static let making = Task { try await make() }

    /// The images.
    static func shared() async throws -> SampleImages { try await making.value }

    private static func make() async throws -> SampleImages {
        let folder = samplesFolder()
        try makeFolder(folder, mode: 0o755)
        // What all tests share goes when their process does.
        atexit { try? removeTree(samplesFolder()) }
        let layout = "\(folder)/layout"
        try await shell(
            #"""
            cd '\#(folder)'
            umoci init --layout layout
            umoci new --image layout:tree
            umoci unpack --image layout:tree b >/dev/null
            R=b/rootfs
            # Layer 1: one of everything.
            mkdir -p $R/etc $R/bin $R/usr/lib $R/home/app $R/opaque/deep $R/gone/inner $R/swap1 $R/many $R/empty
            cp /bin/busybox $R/bin/busybox
            for name in sh id cat env pwd ls stat sleep; do ln -s busybox $R/bin/$name; done
            echo 'root:x:0:0:root:/root:/bin/sh' > $R/etc/passwd
            echo 'app:x:1001:1002::/home/app:/bin/sh' >> $R/etc/passwd
            echo 'app:x:1002:' > $R/etc/group
            ln -s usr/lib $R/lib
            ln -s /etc/passwd $R/etc/absolute
            ln -s ../../../../../../etc/passwd $R/etc/outside
            ln -s nowhere $R/etc/dangling
            echo linked > $R/etc/one; ln $R/etc/one $R/etc/two; ln $R/etc/one $R/usr/lib/three
            mkfifo -m 600 $R/etc/pipe
            mknod -m 666 $R/etc/null c 1 3; mknod -m 660 $R/etc/disk b 8 1
            setfattr -n user.note -v 'some text' $R/etc/one
            printf 'bin\0ary' > $R/bin/capable; setcap cap_net_bind_service+ep $R/bin/capable
            install -m 4755 /dev/null $R/bin/setuid; install -m 2755 /dev/null $R/bin/setgid
            install -d -m 1777 $R/tmp; install -d -m 700 -o 1001 -g 1002 $R/home/app
            install -m 640 -o 4000000 -g 3000000 /dev/null $R/etc/highid
            long=$(printf 'l%.0s' $(seq 200)); mkdir -p $R/$long/$long; echo long > $R/$long/$long/$long
            echo 'ünïcödé' > "$R/etc/ünïcödé"; echo x > "$R/etc/with space and \"quotes\""
            printf x > "$R/etc/"$'new\nline'
            truncate -s 50M $R/sparse; printf end >> $R/sparse
            for i in $(seq 300); do echo $i > $R/many/$i; done
            echo a > $R/opaque/a; echo b > $R/opaque/deep/b; echo c > $R/gone/inner/c; echo d > $R/swap1/d; echo e > $R/swap2
            touch -d '1999-12-31 23:59:59.987654321' $R/etc/one $R/empty $R/etc/pipe
            touch -h -d '2001-02-03 04:05:06.5' $R/etc/absolute
            umoci repack --refresh-bundle --image layout:tree b >/dev/null
            # Layer 2: what later layers do to earlier ones.
            rm -r $R/gone $R/many/1* $R/swap1 $R/swap2 $R/etc/two
            echo file > $R/swap1; mkdir $R/swap2; echo in > $R/swap2/in
            rm $R/etc/absolute; mkdir $R/etc/absolute
            chmod 600 $R/etc/passwd; chown 7:8 $R/etc/group
            echo new > $R/usr/lib/new
            umoci repack --refresh-bundle --image layout:tree b >/dev/null
            # Layer 3: an opaque folder.
            mkdir op; echo only > op/only
            umoci insert --opaque --image layout:tree op /opaque >/dev/null
            rm -rf b
            umoci config --image layout:tree --config.entrypoint /bin/sh --config.entrypoint -c \
                --config.cmd 'id; pwd; echo $GREETING' --config.user app --config.workingdir /home/app \
                --config.env GREETING=hello
            # Small: one layer, nothing but a file.
            umoci new --image layout:small
            umoci unpack --image layout:small s >/dev/null
            echo small > s/rootfs/file
            umoci repack --image layout:small s >/dev/null
            rm -rf s
            """#)
        return SampleImages(layout: layout)
    }

    /// What umoci unpacks of an image.
    func unpacked(_ tag: String, into folder: String) async throws -> String {
        try await tool("umoci", "unpack", "--image", "\(layout):\(tag)", folder)
        return "\(folder)/rootfs"
    }
}

private func samplesFolder() -> String { "/tmp/cvy-oci-samples-\(getpid())" }
