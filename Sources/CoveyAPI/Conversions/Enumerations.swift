package import CoveyModel

extension ErrorCode: WireEnumeration {
    package var wire: Covey_V1_ErrorCode {
        switch self {
        case .invalid: .invalid
        case .notFound: .notFound
        case .conflict: .conflict
        case .unavailable: .unavailable
        case .denied: .denied
        case .unauthenticated: .unauthenticated
        case .exhausted: .exhausted
        case .deadline: .deadline
        case .cancelled: .cancelled
        case .outcomeUnknown: .outcomeUnknown
        case .unsupported: .unsupported
        case .corrupt: .corrupt
        case .failure: .failure
        case .internalError: .internalError
        }
    }
}

extension Condition.State: WireEnumeration {
    package static var every: [Condition.State] { [.yes, .no, .unknown] }

    package var wire: Covey_V1_ConditionState {
        switch self {
        case .yes: .true
        case .no: .false
        case .unknown: .unknown
        }
    }
}

extension Architecture: WireEnumeration {
    package var wire: Covey_V1_Architecture {
        switch self {
        case .amd64: .amd64
        case .arm64: .arm64
        }
    }
}

extension ArtifactState: WireEnumeration {
    package var wire: Covey_V1_ArtifactState {
        switch self {
        case .pending: .pending
        case .building: .building
        case .ready: .ready
        case .failed: .failed
        case .deleting: .deleting
        }
    }
}

extension DriverName: WireEnumeration {
    package var wire: Covey_V1_Driver {
        switch self {
        case .qemu: .qemu
        case .firecracker: .firecracker
        case .cloudHypervisor: .cloudHypervisor
        }
    }
}

extension VolumeFormat: WireEnumeration {
    package var wire: Covey_V1_VolumeFormat {
        switch self {
        case .ext4: .ext4
        case .raw: .raw
        }
    }
}

extension TransportProtocol: WireEnumeration {
    package var wire: Covey_V1_TransportProtocol {
        switch self {
        case .tcp: .tcp
        case .udp: .udp
        }
    }
}

extension DiskStrategy: WireEnumeration {
    package var wire: Covey_V1_DiskStrategy {
        switch self {
        case .reflink: .reflink
        case .qcow2: .qcow2
        case .deviceMapper: .deviceMapper
        case .copy: .copy
        }
    }
}

extension Accelerator: WireEnumeration {
    package var wire: Covey_V1_Accelerator {
        switch self {
        case .auto: .auto
        case .kvm: .kvm
        case .tcg: .tcg
        }
    }
}

extension WantedState: WireEnumeration {
    package var wire: Covey_V1_WantedState {
        switch self {
        case .running: .running
        case .stopped: .stopped
        case .paused: .paused
        }
    }
}

extension MachinePhase: WireEnumeration {
    package var wire: Covey_V1_MachinePhase {
        switch self {
        case .pending: .pending
        case .scheduled: .scheduled
        case .preparing: .preparing
        case .starting: .starting
        case .running: .running
        case .paused: .paused
        case .stopping: .stopping
        case .stopped: .stopped
        case .failed: .failed
        case .deleting: .deleting
        case .unknown: .unknown
        }
    }
}

extension ReadyCheck: WireEnumeration {
    package static var every: [ReadyCheck] { [.booted, .agent, .image, .probe] }

    package var wire: Covey_V1_ReadyCheck {
        switch self {
        case .booted: .booted
        case .agent: .agent
        case .image: .image
        case .probe: .probe
        }
    }
}

extension RunEnd: WireEnumeration {
    package var wire: Covey_V1_RunEnd {
        switch self {
        case .programExited: .programExited
        case .stopped: .stopped
        case .poweredOff: .poweredOff
        case .rebooted: .rebooted
        case .crashed: .crashed
        case .vmmDied: .vmmDied
        case .startFailed: .startFailed
        }
    }
}

extension OperationKind: WireEnumeration {
    package var wire: Covey_V1_OperationKind {
        switch self {
        case .createMachine: .createMachine
        case .startMachine: .startMachine
        case .stopMachine: .stopMachine
        case .killMachine: .killMachine
        case .restartMachine: .restartMachine
        case .deleteMachine: .deleteMachine
        case .buildImage: .buildImage
        case .deleteImage: .deleteImage
        case .importKernel: .importKernel
        case .deleteKernel: .deleteKernel
        case .createVolume: .createVolume
        case .resizeVolume: .resizeVolume
        case .deleteVolume: .deleteVolume
        }
    }
}

extension OperationState: WireEnumeration {
    package var wire: Covey_V1_OperationState {
        switch self {
        case .pending: .pending
        case .running: .running
        case .succeeded: .succeeded
        case .failed: .failed
        case .cancelled: .cancelled
        }
    }
}

extension OperationStage.State: WireEnumeration {
    package static var every: [OperationStage.State] { [.pending, .running, .done, .failed] }

    package var wire: Covey_V1_OperationStageState {
        switch self {
        case .pending: .pending
        case .running: .running
        case .done: .done
        case .failed: .failed
        }
    }
}

extension LogStream: WireEnumeration {
    package var wire: Covey_V1_LogsResponse.Stream {
        switch self {
        case .stdout: .stdout
        case .stderr: .stderr
        case .console: .console
        }
    }
}
