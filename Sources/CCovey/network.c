#include "covey_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int covey_enter_network(int namespace_descriptor) { return setns(namespace_descriptor, CLONE_NEWNET); }

int covey_make_network(void) {
    int old = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (old < 0) return -1;
    int made = -1;
    if (unshare(CLONE_NEWNET) == 0) {
        made = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        int error = errno;
        // A thread that cannot go back would carry the host's work into the new namespace.
        if (setns(old, CLONE_NEWNET) != 0) _exit(70);
        errno = error;
    }
    int error = errno;
    close(old);
    errno = error;
    return made;
}

int covey_open_netlink(int protocol) {
    int made = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (made < 0) return -1;
    int one = 1;
    int size = 1 << 20;
    setsockopt(made, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
    setsockopt(made, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
    setsockopt(made, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    struct timeval limit = {.tv_sec = 5};
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    if (setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        bind(made, (struct sockaddr *)&address, sizeof address) == 0)
        return made;
    int error = errno;
    close(made);
    errno = error;
    return -1;
}

int covey_attach_tap(int tun, const char *name, int exclusive) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (exclusive ? IFF_TUN_EXCL : 0));
    return ioctl(tun, TUNSETIFF, &request);
}

int covey_set_tap_owner(int tap, uint32_t user) { return ioctl(tap, TUNSETOWNER, (unsigned long)user); }

int covey_set_tap_persistence(int tap, int persistent) {
    return ioctl(tap, TUNSETPERSIST, (unsigned long)persistent);
}

int covey_hold_port(const uint8_t *address, int length, uint16_t port, int udp, int shared) {
    int family = length == 4 ? AF_INET : AF_INET6;
    int made = socket(family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (made < 0) return -1;
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } place;
    memset(&place, 0, sizeof place);
    place.any.sa_family = (sa_family_t)family;
    if (length == 4) {
        place.four.sin_port = htons(port);
        memcpy(&place.four.sin_addr, address, 4);
    } else {
        place.six.sin6_port = htons(port);
        memcpy(&place.six.sin6_addr, address, 16);
    }
    int one = 1;
    int least = 1;
    setsockopt(made, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
    if ((length == 4 || setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0) &&
        (!shared || setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0) &&
        bind(made, &place.any, length == 4 ? sizeof place.four : sizeof place.six) == 0 &&
        (!shared || udp || listen(made, 0) == 0))
        return made;
    int error = errno;
    close(made);
    errno = error;
    return -1;
}
