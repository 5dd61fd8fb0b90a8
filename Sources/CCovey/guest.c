#include "covey_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES 65536

static char *first_argument;

const unsigned long COVEY_MOUNT_READ_ONLY = MS_RDONLY, COVEY_MOUNT_NO_SUID = MS_NOSUID,
                    COVEY_MOUNT_NO_DEV = MS_NODEV, COVEY_MOUNT_NO_EXEC = MS_NOEXEC, COVEY_MOUNT_MOVE = MS_MOVE,
                    COVEY_MOUNT_BIND = MS_BIND, COVEY_MOUNT_REMOUNT = MS_REMOUNT;

static void default_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < 65; number++) {
        if (number != SIGKILL && number != SIGSTOP) sigaction(number, &action, NULL);
    }
}

static void unblock_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void fail(struct covey_program *program, int error) {
    program->error = error;
    _exit(1);
}

// What Linux gives a first process: programs that close every descriptor up to the limit stay fast.
static void usual_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= 1024) return;
    limit.rlim_cur = 1024;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// Runs in the caller's memory until the exec: raw system calls where glibc would signal other threads.
static int child(void *argument) {
    struct covey_program *program = argument;
    program->failed_stage = COVEY_PROGRAM_START;
    default_signals();
    setsid();
    umask(022);
    usual_descriptor_limit();
    if (program->resets_oom_score) {
        int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (score >= 0) {
            if (write(score, "0", 1) != 1) errno = 0;
            close(score);
        }
    }
    // First out of the way of 0 to 2, then into place: dup2 clears close-on-exec.
    int moved[3];
    for (int index = 0; index < 3; index++) {
        moved[index] = fcntl(program->descriptors[index], F_DUPFD, 10);
        if (moved[index] < 0) fail(program, errno);
    }
    for (int index = 0; index < 3; index++) {
        if (dup2(moved[index], index) < 0) fail(program, errno);
    }
    if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0) fail(program, errno);
    program->failed_stage = COVEY_PROGRAM_TERMINAL;
    if (program->controls_terminal && ioctl(0, TIOCSCTTY, 0) != 0) fail(program, errno);
    program->failed_stage = COVEY_PROGRAM_USER;
    if (geteuid() == 0 || program->user != geteuid() || program->group != getegid()) {
        if (syscall(SYS_setgroups, program->group_count, program->groups) != 0) fail(program, errno);
        if (syscall(SYS_setresgid, program->group, program->group, program->group) != 0) fail(program, errno);
        if (syscall(SYS_setresuid, program->user, program->user, program->user) != 0) fail(program, errno);
    }
    program->failed_stage = COVEY_PROGRAM_FOLDER;
    if (chdir(program->folder) != 0) fail(program, errno);
    program->failed_stage = COVEY_PROGRAM_EXEC;
    unblock_signals();
    int failure = ENOENT;
    for (const char *const *path = program->candidates; *path != NULL; path++) {
        execve(*path, program->arguments, program->environment);
        if (errno != ENOENT && errno != ENOTDIR) failure = errno;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
    }
    fail(program, failure);
}

pid_t covey_guest_spawn(struct covey_program *program, int *pidfd) {
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    program->failed_stage = COVEY_PROGRAM_START;
    program->error = 0;
    if (stack == MAP_FAILED) return -1;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    *pidfd = -1;
    pid_t pid = clone(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, program, pidfd);
    int failure = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_BYTES);
    if (pid < 0) {
        errno = failure;
        return -1;
    }
    if (program->error == 0) return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    close(*pidfd);
    *pidfd = -1;
    errno = program->error;
    return -1;
}

int covey_open_terminal(int *master, int *slave) {
    *master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (*master < 0) return -1;
    int unlocked = 0;
    if (ioctl(*master, TIOCSPTLCK, &unlocked) != 0 ||
        (*slave = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
        int failure = errno;
        close(*master);
        errno = failure;
        return -1;
    }
    return 0;
}

int covey_resize_terminal(int master, uint16_t rows, uint16_t columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(master, TIOCSWINSZ, &size);
}

pid_t covey_guest_reap(pid_t pid, int *code, int *signal) {
    int status = 0;
    pid_t reaped = waitpid(pid, &status, WNOHANG);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    *signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return reaped;
}

pid_t covey_next_ended_child(void) {
    siginfo_t information;
    memset(&information, 0, sizeof information);
    if (waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) != 0) return 0;
    return information.si_pid;
}

int covey_unmount(const char *target, int flags) { return umount2(target, flags); }

int covey_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    return mount(source, target, type, flags, data);
}

int covey_load_module(int descriptor) { return (int)syscall(SYS_finit_module, descriptor, "", 0); }

int covey_end_machine(int reboots) { return reboot(reboots ? RB_AUTOBOOT : RB_POWER_OFF); }

int covey_signal_descriptor(const int *signals, size_t count) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t index = 0; index < count; index++) sigaddset(&set, signals[index]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int covey_next_signal(int descriptor) {
    struct signalfd_siginfo information;
    ssize_t got = read(descriptor, &information, sizeof information);
    if (got == (ssize_t)sizeof information) return (int)information.ssi_signo;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

int covey_first_realtime_signal(void) { return SIGRTMIN; }

void covey_ignore_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }

void covey_raise_descriptor_limit(void) {
    struct rlimit limit = {.rlim_cur = 524288, .rlim_max = 524288};
    setrlimit(RLIMIT_NOFILE, &limit);
}

pid_t covey_fork(void) { return fork(); }

int covey_close_inherited(void) { return (int)syscall(SYS_close_range, 3u, ~0u, 0u); }

int covey_await_child(pid_t pid) {
    for (;;) {
        pid_t ended = waitpid(pid, NULL, 0);
        if (ended == pid) return 0;
        if (ended < 0 && errno != EINTR) return -1;
    }
}

int covey_become(const char *path, char *const *arguments, char *const *environment) {
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console >= 0) {
        for (int index = 0; index < 3; index++) dup2(console, index);
        if (console > 2) close(console);
    }
    default_signals();
    unblock_signals();
    usual_descriptor_limit();
    return execve(path, arguments, environment);
}

void covey_guest_reap_for_ever(void) {
    for (;;) {
        if (wait(NULL) < 0) pause();
    }
}

int covey_mount_over(const char *source, const char *target) {
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return -1;
    int result = (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
    int failure = errno;
    close(tree);
    errno = failure;
    return result;
}

int covey_loopback_up(void) {
    int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sender < 0) return -1;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int result = ioctl(sender, SIOCSIFFLAGS, &request);
    int failure = errno;
    close(sender);
    errno = failure;
    return result;
}

int covey_set_clock(int64_t milliseconds) {
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    return clock_settime(CLOCK_REALTIME, &time);
}

int covey_watch_opening(const char *path) {
    int descriptor = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (descriptor < 0) return -1;
    if (inotify_add_watch(descriptor, path, IN_OPEN) >= 0) return descriptor;
    int failure = errno;
    close(descriptor);
    errno = failure;
    return -1;
}

int64_t covey_since_boot(void) {
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// The Swift runtime looks for its folder through /proc/self/exe before any of our code runs, and aborts where /proc is
// not mounted, as in an initramfs. Its crash reporter could not run there either.
__attribute__((constructor(101))) static void spare_runtime_paths(int count, char **arguments) {
    if (getpid() != 1 || count < 1) return;
    first_argument = arguments[0];
    setenv("SWIFT_ROOT", "/", 0);
    setenv("SWIFT_BACKTRACE", "enable=no", 0);
}

void covey_mark_for_final_kill(void) {
    if (first_argument != NULL) first_argument[0] = '@';
}
