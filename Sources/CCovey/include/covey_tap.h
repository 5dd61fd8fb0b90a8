// Taps: network devices whose packets a program has.
#ifndef COVEY_TAP_H
#define COVEY_TAP_H

// Opens a persistent tap of the calling thread's network namespace, with a header before each packet, close-on-exec and
// non-blocking. Returns the descriptor, or -1 with errno: ENODEV where there is none of this name, EBUSY where another
// program has it. Source: Linux, Documentation/networking/tuntap.rst.
int covey_open_tap(const char *name);

#endif
