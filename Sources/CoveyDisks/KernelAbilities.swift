internal import CoveyModel

/// What microVMs use of a kernel, and which VMMs can boot it. Every kernel here is an ELF file with a PVH entry.
struct KernelAbilities {
    /// What is looked for, in the order that it is shown.
    static let names = [
        "virtio_mmio", "virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "vmw_vsock_virtio_transport",
        "virtio_rng", "virtio_balloon", "virtio_mem", "virtiofs", "fuse", "ext4", "xfs", "btrfs", "squashfs", "overlay",
        "nf_tables", "nft_masq", "tun", "bridge", "veth", "vxlan", "wireguard", "dm_mod", "dm_snapshot", "loop",
        "nbd", "kvm",
    ]

    /// How the kernel has each of ``names``; nil where its modules were not given.
    let drivers: [KernelDriver]?
    /// The VMMs that can boot it; nil where its modules were not given.
    let boots: [String]?

    /// Looks at a module tree.
    ///
    /// - Parameter isBare: Whether the kernel came without one, so that nothing says what it has.
    init(tree: ModuleTree, isBare: Bool) {
        guard !isBare else {
            drivers = nil
            boots = nil
            return
        }
        func has(_ names: String...) -> Bool { names.allSatisfy { tree.presence(of: $0) != .missing } }
        drivers = KernelAbilities.names.map { KernelDriver(name: $0, presence: tree.presence(of: $0)) }
        var boots: [String] = []
        if has("virtio_mmio", "virtio_blk", "virtio_console") { boots.append("qemu") }
        if has("virtio_mmio", "virtio_blk", "vmw_vsock_virtio_transport") { boots.append("firecracker") }
        if has("virtio_pci", "virtio_blk", "vmw_vsock_virtio_transport") { boots.append("cloud-hypervisor") }
        self.boots = boots
    }
}
