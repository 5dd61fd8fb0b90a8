internal import CoveyModel
internal import Crypto

/// A machine's host key, at random.
@Sendable func makeHostKey() -> SSHKeyPair {
    let key = Curve25519.Signing.PrivateKey()
    return SSHKeyPair(
        seed: Array(key.rawRepresentation), publicKey: Array(key.publicKey.rawRepresentation),
        check: .random(in: .min ... .max), comment: "")
}
