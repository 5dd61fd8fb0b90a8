#include "covey_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (64 * 1024)
#define KERNEL_SIGNAL_COUNT 64

struct child {
    const struct covey_spawn *request;
    char *stack_top;
    pid_t pid;
    volatile int error;
    volatile int stage;
};

// The child shares our memory and our thread's C library state: it makes raw system calls only. glibc's setresuid
// and setgroups would signal our other threads.
#define CALL(...)                                  \
    do {                                           \
        if (syscall(__VA_ARGS__) < 0) return errno; \
    } while (0)

struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

static int join_groups(const struct covey_spawn *request) {
    for (size_t index = 0; index < request->group_count; index++) CALL(SYS_write, request->groups[index], "0", 1);
    return 0;
}

static int set_limits(const struct covey_spawn *request) {
    struct rlimit none = {0, 0}, files = {request->open_files, request->open_files};
    if (!(request->flags & COVEY_SPAWN_CONFINE)) return 0;
    CALL(SYS_prlimit64, 0, RLIMIT_CORE, &none, NULL);
    if (request->open_files > 0) CALL(SYS_prlimit64, 0, RLIMIT_NOFILE, &files, NULL);
    return 0;
}

// First every source above all numbers in use, then each to its target: no order of dup2 alone serves every
// permutation.
static int place_descriptors(const struct covey_spawn *request) {
    int above = 3, copies[64];
    if (request->descriptor_count > 64) return EINVAL;
    for (size_t index = 0; index < request->descriptor_count; index++)
        if (request->targets[index] >= above) above = request->targets[index] + 1;
    for (size_t index = 0; index < request->descriptor_count; index++) {
        copies[index] = (int)syscall(SYS_fcntl, request->sources[index], F_DUPFD, above);
        if (copies[index] < 0) return errno;
    }
    int next = 0;
    for (size_t index = 0; index < request->descriptor_count; index++) {
        int target = request->targets[index];
        CALL(SYS_dup3, copies[index], target, 0);
        if (target > next) CALL(SYS_close_range, next, target - 1, 0);
        next = target + 1;
    }
    CALL(SYS_close_range, next, ~0U, 0);
    return 0;
}

static int reset_signals(void) {
    struct kernel_sigaction standard = {0};
    uint64_t none = 0;
    for (int signal = 1; signal <= KERNEL_SIGNAL_COUNT; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            CALL(SYS_rt_sigaction, signal, &standard, NULL, sizeof standard.mask);
    CALL(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    return 0;
}

static int drop_privileges(const struct covey_spawn *request) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct nothing[2] = {{0}};
    for (int capability = 0; capability < 64; capability++)
        if (syscall(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno != EINVAL) return errno;
            break;
        }
    CALL(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    CALL(SYS_setgroups, request->supplementary_count, request->supplementary);
    CALL(SYS_setresgid, request->group, request->group, request->group);
    CALL(SYS_setresuid, request->user, request->user, request->user);
    CALL(SYS_capset, &header, nothing);
    CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return 0;
}

#define STAGE(name, call)                            \
    do {                                             \
        child->stage = COVEY_STAGE_##name;           \
        if ((child->error = (call)) != 0) goto fail; \
    } while (0)

static int execute(const struct covey_spawn *request) {
    syscall(SYS_execve, request->path, request->arguments, request->environment);
    return errno;
}

static int enter(void *argument) {
    struct child *child = argument;
    const struct covey_spawn *request = child->request;
    child->stage = COVEY_STAGE_SESSION;
    if (syscall(SYS_setsid) < 0) {
        child->error = errno;
        goto fail;
    }
    syscall(SYS_umask, 077);
    STAGE(CGROUP, join_groups(request));
    STAGE(DESCRIPTORS, place_descriptors(request));
    STAGE(LIMITS, set_limits(request));
    child->stage = COVEY_STAGE_DIRECTORY;
    if (syscall(SYS_chdir, request->directory) < 0) {
        child->error = errno;
        goto fail;
    }
    STAGE(SESSION, reset_signals());
    if (request->flags & COVEY_SPAWN_CONFINE) STAGE(PRIVILEGES, drop_privileges(request));
    STAGE(EXEC, execute(request));
fail:
    syscall(SYS_exit_group, 127);
    return 0;
}

// The parent of a detached process: gone once the process runs.
static int enter_detached(void *argument) {
    struct child *child = argument;
    child->pid = clone(enter, child->stack_top - STACK_SIZE / 2, CLONE_VM | CLONE_VFORK | SIGCHLD, child);
    if (child->pid < 0) child->error = errno;
    syscall(SYS_exit_group, 0);
    return 0;
}

int covey_spawn(const struct covey_spawn *request, pid_t *pid, int *pidfd, int *stage) {
    struct child child = {.request = request};
    int detach = (request->flags & COVEY_SPAWN_DETACH) != 0, descriptor = -1, status;
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return errno;
    child.stack_top = stack + STACK_SIZE;
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    if (request->flags & COVEY_SPAWN_ISOLATE) flags |= CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    // No handler of ours may run in the child, on our memory.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t started = clone(detach ? enter_detached : enter, child.stack_top, flags, &child, &descriptor);
    int error = started < 0 ? errno : child.error;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started > 0 && (detach || error != 0)) {
        while (waitpid(started, &status, 0) < 0 && errno == EINTR) continue;
        close(descriptor);
    }
    munmap(stack, STACK_SIZE);
    *stage = child.stage;
    if (error != 0) return error;
    *pid = detach ? child.pid : started;
    *pidfd = detach ? -1 : descriptor;
    return 0;
}

int covey_reap(int pidfd, int *value) {
    siginfo_t information = {0};
    if (waitid(P_PIDFD, (id_t)pidfd, &information, WEXITED | WNOHANG) < 0) return -1;
    if (information.si_pid == 0) return 0;
    *value = information.si_status;
    return information.si_code == CLD_EXITED ? 1 : 2;
}
