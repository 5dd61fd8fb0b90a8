import Testing

@testable import CoveyQEMU

@Suite("Kernel files")
struct KernelCheckTests {
    private func elf(machine: UInt8 = 62, end: UInt64 = 4096, count: UInt8 = 1) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64 + 56)
        bytes.replaceSubrange(0..<6, with: [0x7F, 0x45, 0x4C, 0x46, 2, 1])
        (bytes[18], bytes[32], bytes[54], bytes[56]) = (machine, 64, 56, count)
        for index in 0..<8 { bytes[64 + 32 + index] = UInt8(truncatingIfNeeded: end >> (8 * UInt64(index))) }
        return bytes
    }

    @Test("a whole kernel for x86-64 is fine")
    func fine() { #expect(KernelCheck.problem(elf(), size: 4096) == nil) }

    @Test("everything else has its reason")
    func problems() {
        #expect(KernelCheck.problem([], size: 0) == "it is no ELF file")
        #expect(KernelCheck.problem(Array("MZ".utf8), size: 2) == "it is no ELF file")
        #expect(KernelCheck.problem(Array(elf().prefix(40)), size: 40) == "it is no 64-bit little-endian ELF file")
        #expect(KernelCheck.problem(elf(machine: 183), size: 4096) == "it is not for x86-64")
        #expect(KernelCheck.problem(elf(count: 0), size: 4096) == "its program headers are damaged")
        #expect(KernelCheck.problem(elf(count: 9), size: 4096) == "its program headers are damaged")
        #expect(KernelCheck.problem(elf(), size: 4095) == "it is cut off")
        #expect(KernelCheck.problem(elf(end: .max), size: .max) == "it is cut off")
    }
}
