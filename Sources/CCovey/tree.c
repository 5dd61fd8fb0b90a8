#include "covey_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int covey_open_in_root(int folder, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    // EAGAIN: a rename somewhere on the host raced with `..` (openat2(2)).
    for (int turn = 0; turn < 100; turn++) {
        int opened = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
        if (opened >= 0 || (errno != EAGAIN && errno != EINTR)) return opened;
    }
    return -1;
}

int covey_make_device(int folder, const char *name, mode_t mode, uint32_t major, uint32_t minor) {
    return mknodat(folder, name, mode, makedev(major, minor));
}

int covey_set_attribute(int folder, const char *name, const char *attribute, const void *value, size_t size) {
    char path[32 + 256];
    int length = snprintf(path, sizeof path, "/proc/self/fd/%d/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return lsetxattr(path, attribute, value, size, 0);
}

void covey_device_numbers(dev_t device, uint32_t *major_number, uint32_t *minor_number) {
    *major_number = major(device);
    *minor_number = minor(device);
}

uint64_t covey_file_system_type(int file) {
    struct statfs facts;
    return fstatfs(file, &facts) == 0 ? (uint64_t)facts.f_type & 0xFFFFFFFF : 0;
}
