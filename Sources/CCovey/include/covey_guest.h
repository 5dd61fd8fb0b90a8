// The guest agent: programs, terminals, mounts, modules and the end of the machine.
#ifndef COVEY_GUEST_H
#define COVEY_GUEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// What a program is started with. The caller's memory must stay until covey_guest_spawn returns.
struct covey_program {
    const char *const *candidates; // paths to try in order, NULL at the end
    char *const *arguments;
    char *const *environment;
    const char *folder;
    uint32_t user, group;
    const uint32_t *groups;
    size_t group_count;
    int descriptors[3];
    int controls_terminal; // whether descriptor 0 becomes the controlling terminal
    int resets_oom_score;
    int failed_stage; // out: one of the numbers below
    int error;        // out: its errno, 0 where the program runs
};

enum {
    COVEY_PROGRAM_NONE = 0,
    COVEY_PROGRAM_START = 1,
    COVEY_PROGRAM_TERMINAL = 2,
    COVEY_PROGRAM_USER = 3,
    COVEY_PROGRAM_FOLDER = 4,
    COVEY_PROGRAM_EXEC = 5
};

// Starts a program in a session of its own, with default signals and no other descriptor. Returns its pid with a
// pidfd, or -1 with errno and the stage.
pid_t covey_guest_spawn(struct covey_program *program, int *pidfd);

// A pseudo-terminal: the master non-blocking, both close-on-exec.
int covey_open_terminal(int *master, int *slave);
int covey_resize_terminal(int master, uint16_t rows, uint16_t columns);

// waitpid(2) decoded: returns the pid, 0 where it still runs, -1 with errno. *signal is 0 for an exit.
pid_t covey_guest_reap(pid_t pid, int *code, int *signal);

// A child that has ended and was not yet reaped; 0 where there is none.
pid_t covey_next_ended_child(void);

// mount(2), finit_module(2).
int covey_unmount(const char *target, int flags);
int covey_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int covey_load_module(int descriptor);

extern const unsigned long COVEY_MOUNT_READ_ONLY, COVEY_MOUNT_NO_SUID, COVEY_MOUNT_NO_DEV, COVEY_MOUNT_NO_EXEC,
    COVEY_MOUNT_MOVE, COVEY_MOUNT_BIND, COVEY_MOUNT_REMOUNT;

// reboot(2): 0 powers off, 1 reboots. Returns only on failure.
int covey_end_machine(int reboots);

// Blocks signals and returns a signalfd for them.
int covey_signal_descriptor(const int *signals, size_t count);

// The next signal's number of a signalfd; 0 where none waits, -1 with errno.
int covey_next_signal(int descriptor);

// The number of SIGRTMIN.
int covey_first_realtime_signal(void);

// Ignores SIGPIPE in this process.
void covey_ignore_broken_pipes(void);

// Lets this process have as many descriptors as its programs need; they get the usual soft limit again.
void covey_raise_descriptor_limit(void);

// fork(2), for a process with one thread.
pid_t covey_fork(void);

// Closes every descriptor but 0, 1 and 2.
int covey_close_inherited(void);

// Waits until a child has ended, and reaps it. 0, or -1 and errno.
int covey_await_child(pid_t pid);

// Makes the first argument begin with '@', so that systemd's last kill spares this process.
// Source: systemd, "Root Storage Daemons".
void covey_mark_for_final_kill(void);

// execve(2) as PID 1 hands over to an image's init: default signals, nothing blocked, the console as 0 to 2.
int covey_become(const char *path, char *const *arguments, char *const *environment);

// Reaps children for ever.
void covey_guest_reap_for_ever(void);

// Mounts a file over another, or over a link itself where the target is one (open_tree(2), move_mount(2)).
int covey_mount_over(const char *source, const char *target);

// Brings loopback up with its addresses: the kernel gives it 127.0.0.1 and ::1 by itself (netdevice(7)).
int covey_loopback_up(void);

// clock_settime(2) of the wall clock.
int covey_set_clock(int64_t milliseconds);

// An inotify descriptor that reports when a file is opened.
int covey_watch_opening(const char *path);

// Nanoseconds of CLOCK_BOOTTIME.
int64_t covey_since_boot(void);

#endif
