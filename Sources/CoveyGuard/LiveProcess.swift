internal import CoveySystem

/// A process that runs, as a descriptor; closed with the object.
final class LiveProcess {
    let descriptor: ProcessDescriptor

    init(_ descriptor: consuming ProcessDescriptor) { self.descriptor = descriptor }
}
