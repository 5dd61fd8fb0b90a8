// The part of libarchive that Covey uses, declared without a system header. archive.h includes <sys/stat.h> and
// <time.h>, and a module that holds those claims `stat` and `timespec` for itself in some orders of compilation:
// files that import Glibc then do not build. archive.c compares these lines with libarchive's own.
#ifndef CARCHIVE_H
#define CARCHIVE_H

#include <stddef.h>
#include <stdint.h>

struct archive;
struct archive_entry;

typedef long archive_read_callback(struct archive *, void *context, const void **buffer);
typedef int archive_open_callback(struct archive *, void *context);
typedef int archive_close_callback(struct archive *, void *context);

// Any archive.
int archive_errno(struct archive *);
const char *archive_error_string(struct archive *);
int archive_filter_count(struct archive *);
int64_t archive_filter_bytes(struct archive *, int filter);

// Reading.
struct archive *archive_read_new(void);
int archive_read_free(struct archive *);
int archive_read_support_filter_gzip(struct archive *);
int archive_read_support_filter_lz4(struct archive *);
int archive_read_support_filter_xz(struct archive *);
int archive_read_support_filter_zstd(struct archive *);
int archive_read_support_format_ar(struct archive *);
int archive_read_support_format_cpio(struct archive *);
int archive_read_support_format_empty(struct archive *);
int archive_read_support_format_raw(struct archive *);
int archive_read_support_format_tar(struct archive *);
int archive_read_open(
    struct archive *, void *context, archive_open_callback *, archive_read_callback *, archive_close_callback *);
int archive_read_open_fd(struct archive *, int descriptor, size_t block);
int archive_read_open_memory(struct archive *, const void *bytes, size_t size);
int archive_read_next_header(struct archive *, struct archive_entry **);
long archive_read_data(struct archive *, void *buffer, size_t size);
int archive_read_data_block(struct archive *, const void **buffer, size_t *size, int64_t *offset);

// Writing.
struct archive *archive_write_new(void);
int archive_write_free(struct archive *);
int archive_write_add_filter_gzip(struct archive *);
int archive_write_add_filter_xz(struct archive *);
int archive_write_add_filter_zstd(struct archive *);
int archive_write_set_format_raw(struct archive *);
int archive_write_set_bytes_per_block(struct archive *, int bytes);
int archive_write_open_memory(struct archive *, void *buffer, size_t size, size_t *used);
int archive_write_header(struct archive *, struct archive_entry *);
long archive_write_data(struct archive *, const void *bytes, size_t size);
int archive_write_close(struct archive *);

// Entries.
struct archive_entry *archive_entry_new(void);
void archive_entry_free(struct archive_entry *);
unsigned int archive_entry_filetype(struct archive_entry *);
int64_t archive_entry_gid(struct archive_entry *);
const char *archive_entry_hardlink(struct archive_entry *);
long archive_entry_mtime(struct archive_entry *);
long archive_entry_mtime_nsec(struct archive_entry *);
const char *archive_entry_pathname(struct archive_entry *);
unsigned int archive_entry_perm(struct archive_entry *);
unsigned long archive_entry_rdevmajor(struct archive_entry *);
unsigned long archive_entry_rdevminor(struct archive_entry *);
void archive_entry_set_filetype(struct archive_entry *, unsigned int);
void archive_entry_set_pathname(struct archive_entry *, const char *);
int64_t archive_entry_size(struct archive_entry *);
const char *archive_entry_symlink(struct archive_entry *);
int64_t archive_entry_uid(struct archive_entry *);
int archive_entry_xattr_next(struct archive_entry *, const char **name, const void **value, size_t *size);
int archive_entry_xattr_reset(struct archive_entry *);

#endif
