// Processes: starting them without fork, and their end.
#ifndef COVEY_SPAWN_H
#define COVEY_SPAWN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/xattr.h>

enum {
    // New network, IPC and UTS namespaces.
    COVEY_SPAWN_ISOLATE = 1,
    // Another uid and gid, just the groups given, no capabilities, no way to new privileges.
    COVEY_SPAWN_CONFINE = 2,
    // The process is nobody's child here: init (or a subreaper) reaps it; no pidfd.
    COVEY_SPAWN_DETACH = 4,
};

// What failed in the child.
enum {
    COVEY_STAGE_CLONE,
    COVEY_STAGE_SESSION,
    COVEY_STAGE_CGROUP,
    COVEY_STAGE_LIMITS,
    COVEY_STAGE_DESCRIPTORS,
    COVEY_STAGE_DIRECTORY,
    COVEY_STAGE_PRIVILEGES,
    COVEY_STAGE_EXEC,
};

struct covey_spawn {
    const char *path;
    char *const *arguments;
    char *const *environment;
    const char *directory;
    // descriptor_count pairs; the targets ascend. All others are closed.
    const int *sources;
    const int *targets;
    size_t descriptor_count;
    // Supplementary groups of a confined process.
    const uint32_t *supplementary;
    size_t supplementary_count;
    // Opened cgroup.procs files.
    const int *groups;
    size_t group_count;
    uint32_t user;
    uint32_t group;
    // RLIMIT_NOFILE; 0 leaves it.
    uint64_t open_files;
    int flags;
};

// Starts a process in a session of its own by clone(CLONE_VM|CLONE_VFORK), and returns once it has called execve.
// Returns 0, or an errno with the stage that failed; then nothing is left. Only the calling thread stands still.
int covey_spawn(const struct covey_spawn *request, pid_t *pid, int *pidfd, int *stage);

// Reaps a child by its pidfd. Returns 0 while it runs, 1 with the exit status, 2 with the signal that ended it,
// or -1 with errno (ECHILD where it is no child of ours).
int covey_reap(int pidfd, int *value);

#endif
