#ifndef COVEY_MEMORY_H
#define COVEY_MEMORY_H

// Has malloc give freed memory back to the kernel at once (mallopt(3): fixed thresholds instead of learned ones).
void covey_return_freed_memory(void);

#endif
