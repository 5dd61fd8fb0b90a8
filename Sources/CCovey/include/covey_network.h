// Networks: network namespaces, netlink sockets, taps.
#ifndef COVEY_NETWORK_H
#define COVEY_NETWORK_H

#include <stdint.h>

// setns(2) of the calling thread into a network namespace.
int covey_enter_network(int namespace_descriptor);

// A new network namespace as a descriptor; the calling thread stays where it is. -1 with errno.
int covey_make_network(void);

// A bound netlink socket of a protocol, close-on-exec, strict, with extended answers. -1 with errno.
int covey_open_netlink(int protocol);

// TUNSETIFF on an open /dev/net/tun: a tap with virtio headers; exclusive refuses one that exists (EBUSY).
int covey_attach_tap(int tun, const char *name, int exclusive);

// TUNSETOWNER and TUNSETPERSIST on an attached tap.
int covey_set_tap_owner(int tap, uint32_t user);
int covey_set_tap_persistence(int tap, int persistent);

// Binds a socket to an address, 4 or 16 bytes in network order, and a port: what holds a published port.
// The socket is close-on-exec; udp chooses the protocol. shared sets SO_REUSEADDR and listens. -1 with errno.
int covey_hold_port(const uint8_t *address, int length, uint16_t port, int udp, int shared);

#endif
