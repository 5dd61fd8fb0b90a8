import CoveyGuestProtocol
import CoveyModel
import Testing

@testable import CoveyGuest

@Suite("Disks of a guest")
struct DiskTests {
    @Test("where disks are to be seen travels whole, and a guest without any reads nothing")
    func mounts() throws {
        let mounts = [
            GuestMount(serial: "covey-vol-0123456789", path: "/data", content: .ext4, readOnly: true),
            GuestMount(serial: "covey-scratch", path: "/dev/raw", content: .raw, readOnly: false),
        ]
        for list in [mounts, []] {
            let request = GuestRequest.configure(GuestConfiguration(purpose: .idle, mounts: list))
            let (_, read) = try GuestRequest.decode(request.encoded(number: 1))
            #expect(read == request)
        }
    }

    @Test("an ext4's size is read from its superblock, narrow and wide; other bytes are none")
    func size() {
        var bytes = [UInt8](repeating: 0, count: 1024)
        #expect(Ext4Size(bytes) == nil)
        bytes[0x38] = 0x53
        bytes[0x39] = 0xEF
        bytes[0x18] = 2
        bytes[0x05] = 0x20
        bytes[0x150] = 1
        #expect(Ext4Size(bytes).map { [$0.block, $0.blocks] } == [4096, 0x2000])
        bytes[0x60] = 0x80
        #expect(Ext4Size(bytes)?.blocks == 0x1_0000_2000)
        bytes[0x18] = 200
        #expect(Ext4Size(bytes) == nil)
        #expect(Ext4Size(Array(bytes.prefix(1000))) == nil)
    }
}
