package import CoveyAPI

/// What the chain reads from the first message of a call.
package protocol CallScope {
    /// The tenant's name; nil where the method belongs to the host, empty is the standard one.
    var scopeTenant: String? { get }
    /// The caller's request id; nil where the method changes nothing.
    var scopeRequestID: String? { get }
}

extension CallScope {
    package var scopeRequestID: String? { nil }
}

private protocol TenantMessage: CallScope {
    var tenant: String { get }
}

extension TenantMessage {
    package var scopeTenant: String? { tenant }
}

private protocol MutationMessage: TenantMessage {
    var requestID: String { get }
}

extension MutationMessage {
    package var scopeRequestID: String? { requestID }
}

extension Covey_V1_CreateVirtualMachineRequest: MutationMessage {}
extension Covey_V1_GetVirtualMachineRequest: TenantMessage {}
extension Covey_V1_ListVirtualMachinesRequest: TenantMessage {}
extension Covey_V1_WatchVirtualMachinesRequest: TenantMessage {}
extension Covey_V1_StartVirtualMachineRequest: MutationMessage {}
extension Covey_V1_StopVirtualMachineRequest: MutationMessage {}
extension Covey_V1_KillVirtualMachineRequest: MutationMessage {}
extension Covey_V1_RestartVirtualMachineRequest: MutationMessage {}
extension Covey_V1_DeleteVirtualMachineRequest: MutationMessage {}
extension Covey_V1_RenameVirtualMachineRequest: MutationMessage {}
extension Covey_V1_ListExecsRequest: TenantMessage {}
extension Covey_V1_SignalExecRequest: TenantMessage {}
extension Covey_V1_LogsRequest: TenantMessage {}
extension Covey_V1_BuildImageRequest: MutationMessage {}
extension Covey_V1_TagImageRequest: MutationMessage {}
extension Covey_V1_PruneImagesRequest: MutationMessage {}
extension Covey_V1_GetImageRequest: TenantMessage {}
extension Covey_V1_ListImagesRequest: TenantMessage {}
extension Covey_V1_DeleteImageRequest: MutationMessage {}
extension Covey_V1_PullImageRequest: MutationMessage {}
extension Covey_V1_ExportImageRequest: TenantMessage {}
extension Covey_V1_CheckLoginRequest: TenantMessage {}
extension Covey_V1_PromoteImageRequest: MutationMessage {}
extension Covey_V1_PullImageEntryRequest: MutationMessage {}
extension Covey_V1_ListCatalogEntriesRequest: TenantMessage {}
extension Covey_V1_GetKernelRequest: TenantMessage {}
extension Covey_V1_ListKernelsRequest: TenantMessage {}
extension Covey_V1_DeleteKernelRequest: MutationMessage {}
extension Covey_V1_SetDefaultKernelRequest: MutationMessage {}
extension Covey_V1_CreateVolumeRequest: MutationMessage {}
extension Covey_V1_GetVolumeRequest: TenantMessage {}
extension Covey_V1_ListVolumesRequest: TenantMessage {}
extension Covey_V1_DeleteVolumeRequest: MutationMessage {}
extension Covey_V1_ResizeVolumeRequest: MutationMessage {}
extension Covey_V1_SnapshotVolumeRequest: MutationMessage {}
extension Covey_V1_AttachVolumeRequest: MutationMessage {}
extension Covey_V1_DetachVolumeRequest: MutationMessage {}
extension Covey_V1_UpdateVirtualMachineRequest: MutationMessage {}
extension Covey_V1_ListPortsRequest: TenantMessage {}
extension Covey_V1_GetFiguresRequest: TenantMessage {}
extension Covey_V1_CreateNetworkRequest: MutationMessage {}
extension Covey_V1_GetNetworkRequest: TenantMessage {}
extension Covey_V1_ListNetworksRequest: TenantMessage {}
extension Covey_V1_UpdateNetworkRequest: MutationMessage {}
extension Covey_V1_DeleteNetworkRequest: MutationMessage {}
extension Covey_V1_GetOperationRequest: TenantMessage {}
extension Covey_V1_ListOperationsRequest: TenantMessage {}
extension Covey_V1_WatchOperationRequest: TenantMessage {}
extension Covey_V1_CancelOperationRequest: MutationMessage {}

extension Covey_V1_PackRequest: TenantMessage {}
extension Covey_V1_ListEventsRequest: TenantMessage {}
extension Covey_V1_WatchEventsRequest: TenantMessage {}

extension Covey_V1_UnpackRequest: CallScope {
    package var scopeTenant: String? { start.tenant }
}

extension Covey_V1_DialRequest: CallScope {
    package var scopeTenant: String? { start.tenant }
}

extension Covey_V1_ExecRequest: CallScope {
    package var scopeTenant: String? { start.tenant }
    package var scopeRequestID: String? { start.requestID }
}

extension Covey_V1_ConsoleRequest: CallScope {
    package var scopeTenant: String? { start.tenant }
}

extension Covey_V1_AttachRequest: CallScope {
    package var scopeTenant: String? { start.tenant }
}

extension Covey_V1_OpenShellRequest: CallScope {
    package var scopeTenant: String? { start.tenant }
}

extension Covey_V1_ImportKernelRequest: CallScope {
    package var scopeTenant: String? { header.tenant }
    package var scopeRequestID: String? { header.requestID }
}

extension Covey_V1_PurgeLeakRequest: CallScope {
    package var scopeTenant: String? { nil }
    package var scopeRequestID: String? { requestID }
}

extension Covey_V1_RegisterImageRequest: CallScope {
    package var scopeTenant: String? { header.tenant }
    package var scopeRequestID: String? { header.requestID }
}
