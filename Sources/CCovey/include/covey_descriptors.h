// Descriptors: events, pipes, sockets and processes as descriptors.
#ifndef COVEY_DESCRIPTORS_H
#define COVEY_DESCRIPTORS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/types.h>

// pipe2(2). Returns 0, or -1 with errno.
int covey_pipe2(int descriptors[2], int flags);

// accept4(2) without the address, close-on-exec and non-blocking.
int covey_accept(int listener);

// pidfd_open(2).
int covey_pidfd_open(pid_t pid);

// pidfd_send_signal(2) without siginfo.
int covey_pidfd_send_signal(int pidfd, int signal);

// memfd_create(2), close-on-exec.
int covey_memfd_create(const char *name);

// The peer's credentials of a connected Unix socket (SO_PEERCRED).
int covey_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);

// Sends bytes with up to 48 descriptors (SCM_RIGHTS). Returns bytes sent, or -1 with errno.
ssize_t covey_send_descriptors(
    int socket, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count);

// Receives bytes and up to *descriptor_count descriptors, close-on-exec; sets *descriptor_count to how many came.
// Returns bytes received, 0 at the end, or -1 with errno (EMSGSIZE where anything was cut off).
ssize_t covey_receive_descriptors(
    int socket, void *bytes, size_t count, int *descriptors, size_t *descriptor_count);

// Has the kernel drop what a UDP socket would get from these addresses, before it takes room in the socket's buffer: each
// of 4 bytes, or of 16 for IPv6, at most COVEY_MOST_REFUSED. None lets all in again. Source: socket(7), SO_ATTACH_FILTER.
enum { COVEY_MOST_REFUSED = 32 };
int covey_refuse_sources(int socket, const uint8_t *addresses, size_t count, int is_v6);

// Names a thread for ps and debuggers; cut to 15 bytes.
void covey_name_thread(pthread_t thread, const char *name);

#endif
