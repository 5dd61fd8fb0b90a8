// Terminals: raw mode that ends with the process.
#ifndef COVEY_TERMINAL_H
#define COVEY_TERMINAL_H

// Puts a terminal into raw mode; the first call keeps what was there. Returns 0, or -1 with errno.
int covey_enter_raw_mode(int terminal);

// Restores what was there, at once; without the call above it does nothing. Safe in a signal handler.
void covey_leave_raw_mode(void);

// Has signals by which a program dies of its own fault restore the terminal first.
void covey_leave_raw_mode_on_crash(void);

#endif
