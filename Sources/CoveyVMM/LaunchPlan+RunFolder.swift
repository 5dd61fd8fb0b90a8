package import CoveyModel

/// Where a run's files lie. A crash between a start and the storing of its handle leaves only the plan,
/// and from it everything can be found.
extension LaunchPlan {
    /// The VMM's control socket.
    package var controlSocket: String { "\(runFolder)/control" }
    /// The socket of the guest channel.
    package var guestSocket: String { "\(runFolder)/guest" }
    /// The pipe that the guest's serial port reads from.
    package var consoleInput: String { "\(runFolder)/console" }
    /// What the VMM wrote to standard error.
    package var errorLog: String { "\(runFolder)/errors" }
}

extension MachineHandle {
    /// The handle of a plan's VMM. For a start whose handle was never stored, `process` comes from
    /// ``ProcessSupervisor/processes()`` by ``LaunchPlan/processName``, and the version is empty.
    package init(plan: LaunchPlan, driver: DriverName, vmmVersion: String = "", process: ProcessIdentity) {
        self.init(
            machine: plan.machine, runGeneration: plan.runGeneration, driver: driver, vmmVersion: vmmVersion,
            accelerator: plan.accelerator, process: process, processName: plan.processName,
            controlSocket: plan.controlSocket, guestSocket: plan.guestSocket, memoryFile: plan.memoryFile,
            consoleInput: plan.consoleInput)
    }
}
