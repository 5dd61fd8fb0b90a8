// The host's time stamp counter.
#ifndef COVEY_CLOCK_H
#define COVEY_CLOCK_H

#include <stdint.h>

// Measures the time stamp counter against CLOCK_MONOTONIC for 10 ms. Returns kHz, or 0 where there is none.
uint64_t covey_measure_tsc_khz(void);

#endif
