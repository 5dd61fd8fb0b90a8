// What the program was built from.
#ifndef CBUILD_H
#define CBUILD_H

// The commit, with `-dirty` where files differed from it; empty where it was built outside a checkout.
const char *covey_commit(void);

#endif
