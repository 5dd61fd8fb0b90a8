import Testing

@testable import CoveyDisks

@Suite struct ShellProgramsTests {
    @Test("of control records the libraries are read, each once, and nothing else")
    func libraries() {
        let records = """
            Package: openssh-server
            Version: 1:9.2p1-2
            Pre-Depends: init-system-helpers (>= 1.54~), libc6 (>= 2.36)
            Depends: adduser, libaudit1 (>= 1:2.2.1), libpam-modules (>= 0.72-9), zlib1g (>= 1:1.1.4), default | x, libz:any
            Description: libnothing, libat-all

            Package: libaudit1
            Depends: libaudit-common (>= 1:3.0.9-1), libc6 (>= 2.33), lib$(evil), libcap-ng0 | libother
            """
        #expect(
            ShellPrograms.libraries(in: records)
                == ["libc6", "libaudit1", "zlib1g", "libz", "libaudit-common", "libcap-ng0"])
    }

    @Test("the libraries that a program needs are those that its linker wrote down")
    func needed() throws {
        let needed = try ELFFile.open("/usr/bin/dpkg", subject: "dpkg").neededLibraries()
        #expect(needed.contains("libc.so.6") && needed.count > 1)
        #expect(try ELFFile.open("/bin/busybox", subject: "busybox").neededLibraries() == [])
    }
}
