#include "covey_kvm.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

int covey_kvm_create_vm(int kvm) { return ioctl(kvm, KVM_CREATE_VM, 0); }
