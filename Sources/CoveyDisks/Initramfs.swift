internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The first root of every machine: the guest agent as `/init`, and the modules that reach the root disk.
///
/// `/covey/modules` lists the modules in load order, one absolute path a line. Uncompressed: it boots faster so.
enum Initramfs {
    /// Puts it together. Blocks. Errors: ``ErrorCode/unsupported`` where the kernel lacks a driver.
    static func bytes(agent: [UInt8], modules: ModuleTree?) throws -> [UInt8] {
        var archive = CpioArchive()
        for folder in ["dev", "proc", "sys", "newroot", "covey", "covey/m"] { archive.addFolder(folder) }
        archive.addDevice("dev/console", major: 5, minor: 1)
        archive.addFile("init", mode: 0o755, agent)
        var list = ""
        for path in try modules?.bootOrder() ?? [] {
            let name = "covey/m/\(ModuleTree.name(of: path)).ko"
            archive.addFile(name, try modules?.content(of: path) ?? [])
            list += "/\(name)\n"
        }
        archive.addFile("covey/modules", Array(list.utf8))
        return archive.finish()
    }
}
