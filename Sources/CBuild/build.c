#include "CBuild.h"

const char *covey_commit(void) { return COVEY_COMMIT; }
