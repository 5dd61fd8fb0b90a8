#include "covey_memory.h"

#include <malloc.h>

enum { THRESHOLD = 256 << 10 };

void covey_return_freed_memory(void) {
    mallopt(M_MMAP_THRESHOLD, THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, THRESHOLD);
}
