#include "covey_descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAXIMUM_DESCRIPTORS 48

int covey_pipe2(int descriptors[2], int flags) { return pipe2(descriptors, flags); }

int covey_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int covey_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int covey_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int covey_memfd_create(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int covey_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -1;
    *pid = credentials.pid;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return 0;
}

ssize_t covey_send_descriptors(
    int socket, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * MAXIMUM_DESCRIPTORS)];
    } control;
    if (descriptor_count > MAXIMUM_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptor_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

ssize_t covey_receive_descriptors(
    int socket, void *bytes, size_t count, int *descriptors, size_t *descriptor_count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * MAXIMUM_DESCRIPTORS)];
    } control;
    size_t room = *descriptor_count, taken = 0;
    *descriptor_count = 0;
    struct iovec vector = {.iov_base = bytes, .iov_len = count};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (received < 0) return -1;
    int cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t held = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < held; index++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
            if (taken < room) {
                descriptors[taken++] = descriptor;
            } else {
                close(descriptor);
                cut = 1;
            }
        }
    }
    if (cut) {
        for (size_t index = 0; index < taken; index++) close(descriptors[index]);
        errno = EMSGSIZE;
        return -1;
    }
    *descriptor_count = taken;
    return received;
}

void covey_name_thread(pthread_t thread, const char *name) {
    char cut[16] = {0};
    strncpy(cut, name, sizeof cut - 1);
    pthread_setname_np(thread, cut);
}

int covey_refuse_sources(int socket, const uint8_t *addresses, size_t count, int is_v6) {
    struct sock_filter program[COVEY_MOST_REFUSED * 9 + 1];
    // Where the source stands in the header of IP, and how many words it has.
    uint32_t offset = (uint32_t)SKF_NET_OFF + (is_v6 ? 8 : 12), words = is_v6 ? 4 : 1;
    unsigned short length = 0;
    if (count > COVEY_MOST_REFUSED) {
        errno = EINVAL;
        return -1;
    }
    if (count == 0) {
        int unused = 0;
        int result = setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
        return result != 0 && errno == ENOENT ? 0 : result;
    }
    for (size_t index = 0; index < count; index++, addresses += words * 4) {
        for (uint32_t word = 0; word < words; word++) {
            const uint8_t *at = addresses + word * 4;
            uint32_t value = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
            // A word that differs leads behind this address's end.
            uint8_t rest = (uint8_t)((words - 1 - word) * 2 + 1);
            program[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset + word * 4);
            program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, rest);
        }
        program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    }
    program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    struct sock_fprog filter = {.len = length, .filter = program};
    return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}
