// Both headers in one file: where a declaration of ours is not libarchive's, this does not compile.
#include <archive.h>
#include <archive_entry.h>

#include "include/CArchive.h"
