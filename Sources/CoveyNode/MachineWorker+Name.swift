internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import Logging

/// A machine's name as its guest knows it: host name, hosts file and `/etc/hostname`.
extension MachineWorker {
    /// How long a guest may take for it, and then rests before it is told again.
    private static let patience = Duration.seconds(10)

    /// Tells a guest that goes by another name than its machine, beside the worker's turn, until it has taken it or its
    /// session is over; the next session begins with the name that the guest has. Idempotent.
    func followName(_ machine: VirtualMachine) async {
        let name = machine.metadata.name
        guard let active = run, let session = active.session, !active.paused, !active.isGoingDown,
            let known = active.guestName, known != name
        else { return }
        let network: GuestNetwork
        do {
            guard session.hello.abilities.contains(.network) else {
                throw CoveyError(
                    .unsupported, "the guest agent is too old to take another name", remedy: "restart the machine")
            }
            network = try await guestNetwork(machine, session.hello.abilities) ?? GuestNetwork()
        } catch {
            // Said once a session.
            if CoveyError.wrapping(error).code == .unsupported { run?.guestName = name }
            logger.warning("the guest keeps its host name", metadata: ["error": "\(error)"])
            return
        }
        run?.guestName = name
        run?.telling?.cancel()
        run?.telling = Task { [logger, clock = host.clock] in
            while !Task.isCancelled {
                do {
                    try await withDeadline(MachineWorker.patience, "telling the guest its name") {
                        try await session.setNetwork(network, hostname: name)
                    }
                    return logger.debug("the guest has its name", metadata: ["hostname": "\(name)"])
                } catch {
                    logger.debug("the guest did not take its name", metadata: ["error": "\(error)"])
                }
                do { try await clock.sleep(MachineWorker.patience) } catch { return }
            }
        }
    }
}
