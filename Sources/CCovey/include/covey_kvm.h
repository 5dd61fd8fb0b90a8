// KVM's device.
#ifndef COVEY_KVM_H
#define COVEY_KVM_H

// KVM_CREATE_VM on an open /dev/kvm. Returns the machine's descriptor, or -1 with errno.
int covey_kvm_create_vm(int kvm);

#endif
