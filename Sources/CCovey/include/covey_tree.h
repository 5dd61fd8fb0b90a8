// Trees of files that others have named: nothing is reached outside the tree's own folder.
#ifndef COVEY_TREE_H
#define COVEY_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// openat2(2) as if the folder were the root: `..` and links stay inside, no other file system, no link of /proc.
int covey_open_in_root(int folder, const char *path, int flags);

// mknodat(2) of a device by its numbers.
int covey_make_device(int folder, const char *name, mode_t mode, uint32_t major, uint32_t minor);

// lsetxattr(2) on a name in a folder.
int covey_set_attribute(int folder, const char *name, const char *attribute, const void *value, size_t size);

// Major and minor number of a device.
void covey_device_numbers(dev_t device, uint32_t *major, uint32_t *minor);

// The number of the file system that an open file lies on (linux/magic.h), 0 where it cannot be said.
uint64_t covey_file_system_type(int file);

#endif
