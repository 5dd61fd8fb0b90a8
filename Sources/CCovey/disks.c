#include "covey_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// The kernel keeps this one in its own headers (fs/ext4/ext4.h).
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

int covey_clone_file(int to, int from) { return ioctl(to, FICLONE, from); }

int64_t covey_next_data(int file, int64_t from) { return lseek(file, from, SEEK_DATA); }

int64_t covey_next_hole(int file, int64_t from) { return lseek(file, from, SEEK_HOLE); }

ssize_t covey_copy_range(int from, int to, int64_t offset, size_t count) {
    off64_t in = offset, out = offset;
    return copy_file_range(from, &in, to, &out, count, 0);
}

int covey_block_size(int device, uint64_t *bytes) { return ioctl(device, BLKGETSIZE64, bytes); }

int covey_grow_ext4(int mounted, uint64_t blocks) { return ioctl(mounted, EXT4_IOC_RESIZE_FS, &blocks); }

int covey_free_loop(int control) { return ioctl(control, LOOP_CTL_GET_FREE); }

int covey_configure_loop(int loop, int file, int read_only) {
    struct loop_config configuration;
    memset(&configuration, 0, sizeof configuration);
    configuration.fd = (unsigned)file;
    configuration.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
    return ioctl(loop, LOOP_CONFIGURE, &configuration);
}

static void prepare(struct dm_ioctl *request, size_t size, const char *name) {
    memset(request, 0, sizeof *request);
    request->version[0] = DM_VERSION_MAJOR;
    request->data_size = (uint32_t)size;
    request->data_start = sizeof *request;
    strncpy(request->name, name, sizeof request->name - 1);
}

static int ask(int control, unsigned long command, const char *name, uint32_t *minor_number) {
    struct dm_ioctl request;
    prepare(&request, sizeof request, name);
    if (ioctl(control, command, &request) != 0) return -1;
    if (minor_number) *minor_number = minor(request.dev);
    return 0;
}

int covey_mapper_create(int control, const char *name, uint32_t *minor) {
    return ask(control, DM_DEV_CREATE, name, minor);
}

int covey_mapper_find(int control, const char *name, uint32_t *minor) {
    return ask(control, DM_DEV_STATUS, name, minor);
}

// Without DM_SUSPEND_FLAG this resumes, with the table that was loaded last.
int covey_mapper_resume(int control, const char *name) { return ask(control, DM_DEV_SUSPEND, name, NULL); }

int covey_mapper_remove(int control, const char *name) { return ask(control, DM_DEV_REMOVE, name, NULL); }

int covey_mapper_load(int control, const char *name, const struct covey_mapped_target *targets, size_t count) {
    struct {
        struct dm_ioctl head;
        struct {
            struct dm_target_spec spec;
            char parameters[160];
        } target[4];
    } request;
    if (count > 4) {
        errno = E2BIG;
        return -1;
    }
    memset(&request, 0, sizeof request);
    prepare(&request.head, sizeof request, name);
    request.head.target_count = (uint32_t)count;
    for (size_t index = 0; index < count; index++) {
        struct dm_target_spec *spec = &request.target[index].spec;
        spec->sector_start = targets[index].start;
        spec->length = targets[index].length;
        spec->next = sizeof request.target[index];
        memcpy(spec->target_type, targets[index].type, sizeof targets[index].type);
        memcpy(request.target[index].parameters, targets[index].parameters, sizeof targets[index].parameters);
    }
    return ioctl(control, DM_TABLE_LOAD, &request);
}
