internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The first root of every machine: the guest agent as `/init`, and the modules that reach root disk and network.
///
/// `/covey/modules` lists the modules in load order, one absolute path a line; `/covey/network` those that only a machine
/// with a network loads. Uncompressed: it boots faster so.
enum Initramfs {
    /// Puts it together. Blocks. Errors: ``ErrorCode/unsupported`` where the kernel lacks a driver.
    static func bytes(agent: [UInt8], modules: ModuleTree?) throws -> [UInt8] {
        var archive = CpioArchive()
        for folder in ["dev", "proc", "sys", "newroot", "covey", "covey/m"] { archive.addFolder(folder) }
        archive.addDevice("dev/console", major: 5, minor: 1)
        archive.addFile("init", mode: 0o755, agent)
        for (list, order) in [
            ("modules", try modules?.bootOrder() ?? []), ("network", try modules?.networkOrder() ?? []),
        ] {
            var names = ""
            for path in order {
                let name = "covey/m/\(ModuleTree.name(of: path)).ko"
                archive.addFile(name, try modules?.content(of: path) ?? [])
                names += "/\(name)\n"
            }
            archive.addFile("covey/\(list)", Array(names.utf8))
        }
        return archive.finish()
    }
}
