// Disks: shared blocks, holes, block devices, loop devices, device-mapper, and growth of a mounted ext4.
#ifndef COVEY_DISKS_H
#define COVEY_DISKS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// FICLONE: makes a file share all blocks of another. Returns 0, or -1 with errno.
int covey_clone_file(int to, int from);

// lseek(2) with SEEK_DATA and SEEK_HOLE; -1 with ENXIO where there is none any more.
int64_t covey_next_data(int file, int64_t from);
int64_t covey_next_hole(int file, int64_t from);

// copy_file_range(2) from one offset to the same one.
ssize_t covey_copy_range(int from, int to, int64_t offset, size_t count);

// The size of a block device in bytes (BLKGETSIZE64).
int covey_block_size(int device, uint64_t *bytes);

// EXT4_IOC_RESIZE_FS on any open file of a mounted ext4: grows it to so many blocks.
int covey_grow_ext4(int mounted, uint64_t blocks);

// The number of a free loop device, by an open /dev/loop-control.
int covey_free_loop(int control);

// LOOP_CONFIGURE: puts a file under an open loop device, which goes away with its last user.
int covey_configure_loop(int loop, int file, int read_only);

// A target of a mapped device, in sectors of 512 bytes.
struct covey_mapped_target {
    uint64_t start, length;
    char type[16];
    char parameters[160];
};

// Device-mapper, by an open /dev/mapper/control. Returns 0, or -1 with errno (ENXIO where there is no such device).
int covey_mapper_create(int control, const char *name, uint32_t *minor);
int covey_mapper_find(int control, const char *name, uint32_t *minor);
int covey_mapper_load(int control, const char *name, const struct covey_mapped_target *targets, size_t count);
int covey_mapper_resume(int control, const char *name);
int covey_mapper_remove(int control, const char *name);

#endif
