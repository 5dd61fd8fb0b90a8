#include "covey_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int attach(int tap, const char *name) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    if (strlen(name) >= sizeof request.ifr_name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(request.ifr_name, name);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(tap, TUNSETIFF, &request) != 0 || ioctl(tap, TUNGETIFF, &request) != 0) return -1;
    if (request.ifr_flags & IFF_PERSIST) return 0;
    // There was none, so that the kernel made one, which goes with the descriptor.
    errno = ENODEV;
    return -1;
}

int covey_open_tap(const char *name) {
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tap < 0 || attach(tap, name) == 0) return tap;
    int failure = errno;
    close(tap);
    errno = failure;
    return -1;
}
