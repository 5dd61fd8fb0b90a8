// What Swift's Glibc module leaves out, one header a concern.
#ifndef CCOVEY_H
#define CCOVEY_H

#include "covey_clock.h"
#include "covey_descriptors.h"
#include "covey_disks.h"
#include "covey_kvm.h"
#include "covey_guest.h"
#include "covey_memory.h"
#include "covey_network.h"
#include "covey_spawn.h"
#include "covey_tap.h"
#include "covey_terminal.h"
#include "covey_tree.h"

#endif
