import Testing

@testable import CoveyModel

@Suite struct SSHKeyTests {
    @Test("a key pair has the forms that ssh-keygen writes")
    func golden() {
        // RFC 8032, 7.1, test 1; written by ssh-keygen but for the check number and the comment.
        func bytes(_ text: String) -> [UInt8] {
            stride(from: 0, to: 64, by: 2).compactMap { UInt8(text.dropFirst($0).prefix(2), radix: 16) }
        }
        let pair = SSHKeyPair(
            seed: bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
            publicKey: bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
            check: 0x0102_0304, comment: "x")
        #expect(
            pair.publicLine
                == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea")
        #expect(
            pair.privateText.hasPrefix(
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"))
        #expect(pair.privateText.hasSuffix("\n-----END OPENSSH PRIVATE KEY-----\n"))
        #expect("\(pair)" == pair.publicLine)
    }

    @Test("base64 is that of RFC 4648")
    func base64() {
        let known = [
            "": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE=",
            "foobar": "Zm9vYmFy",
        ]
        for (text, coded) in known { #expect(Base64.encode(Array(text.utf8)) == coded) }
        #expect(Base64.encode([0xFB, 0xFF, 0xBF]) == "+/+/")
    }

    @Test("who may log in is a name and lines of keys, and nothing that a configuration could take for more")
    func access() throws {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea me"
        try ShellAccess(user: "ann", keys: [key, "ecdsa-sha2-nistp256 AAAA"]).check()
        for user in ["", "-o", "a b", "a:b", "a/b", "a\nb", "a\"", "a,b", String(repeating: "a", count: 65)] {
            #expect(throws: CoveyError.self, "\(user)") { try ShellAccess(user: user, keys: [key]).check() }
        }
        for bad in [
            "", "x", "ssh-ed25519", "command=\"x\" ssh-ed25519 AAAA", "ssh-ed25519 AAAA\nssh-rsa B", "ssh-rsa A\"A",
        ] {
            #expect(throws: CoveyError.self, "\(bad)") { try ShellAccess(user: "a", keys: [bad]).check() }
        }
        #expect(throws: CoveyError.self) { try ShellAccess(user: "a", keys: []).check() }
    }
}
