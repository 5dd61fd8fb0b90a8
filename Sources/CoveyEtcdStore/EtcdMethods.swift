internal import GRPCCore
internal import SwiftProtobuf

/// A method of etcd with the types of its messages.
struct EtcdMethod<Request: Message & Sendable, Response: Message & Sendable>: Sendable {
    let descriptor: MethodDescriptor
    /// The header of a response, with the cluster and the revision.
    let header: @Sendable (Response) -> Etcdserverpb_ResponseHeader
}

extension EtcdMethod where Request == Etcdserverpb_RangeRequest, Response == Etcdserverpb_RangeResponse {
    static var range: Self { Self(descriptor: Etcdserverpb_KV.Method.Range.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_TxnRequest, Response == Etcdserverpb_TxnResponse {
    static var transaction: Self { Self(descriptor: Etcdserverpb_KV.Method.Txn.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_CompactionRequest, Response == Etcdserverpb_CompactionResponse {
    static var compact: Self { Self(descriptor: Etcdserverpb_KV.Method.Compact.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_LeaseGrantRequest, Response == Etcdserverpb_LeaseGrantResponse {
    static var grant: Self { Self(descriptor: Etcdserverpb_Lease.Method.LeaseGrant.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_LeaseRevokeRequest, Response == Etcdserverpb_LeaseRevokeResponse {
    static var revoke: Self { Self(descriptor: Etcdserverpb_Lease.Method.LeaseRevoke.descriptor) { $0.header } }
}

extension EtcdMethod
where Request == Etcdserverpb_LeaseKeepAliveRequest, Response == Etcdserverpb_LeaseKeepAliveResponse {
    static var keepAlive: Self { Self(descriptor: Etcdserverpb_Lease.Method.LeaseKeepAlive.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_StatusRequest, Response == Etcdserverpb_StatusResponse {
    static var status: Self { Self(descriptor: Etcdserverpb_Maintenance.Method.Status.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_AlarmRequest, Response == Etcdserverpb_AlarmResponse {
    static var alarm: Self { Self(descriptor: Etcdserverpb_Maintenance.Method.Alarm.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_MemberListRequest, Response == Etcdserverpb_MemberListResponse {
    static var members: Self { Self(descriptor: Etcdserverpb_Cluster.Method.MemberList.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_MemberAddRequest, Response == Etcdserverpb_MemberAddResponse {
    static var addMember: Self { Self(descriptor: Etcdserverpb_Cluster.Method.MemberAdd.descriptor) { $0.header } }
}

extension EtcdMethod where Request == Etcdserverpb_MemberRemoveRequest, Response == Etcdserverpb_MemberRemoveResponse {
    static var removeMember: Self {
        Self(descriptor: Etcdserverpb_Cluster.Method.MemberRemove.descriptor) { $0.header }
    }
}

extension EtcdMethod
where Request == Etcdserverpb_MemberPromoteRequest, Response == Etcdserverpb_MemberPromoteResponse {
    static var promoteMember: Self {
        Self(descriptor: Etcdserverpb_Cluster.Method.MemberPromote.descriptor) { $0.header }
    }
}

extension EtcdMethod where Request == Etcdserverpb_DefragmentRequest, Response == Etcdserverpb_DefragmentResponse {
    static var defragment: Self {
        Self(descriptor: Etcdserverpb_Maintenance.Method.Defragment.descriptor) { $0.header }
    }
}

extension EtcdMethod where Request == Etcdserverpb_SnapshotRequest, Response == Etcdserverpb_SnapshotResponse {
    static var snapshot: Self { Self(descriptor: Etcdserverpb_Maintenance.Method.Snapshot.descriptor) { $0.header } }
}

extension EtcdMethod
where Request == Etcdserverpb_MemberUpdateRequest, Response == Etcdserverpb_MemberUpdateResponse {
    static var updateMember: Self {
        Self(descriptor: Etcdserverpb_Cluster.Method.MemberUpdate.descriptor) { $0.header }
    }
}
