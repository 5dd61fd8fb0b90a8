internal import CCovey

/// Has the allocator give memory back to the kernel as soon as it is freed, for the rest of the process.
///
/// A program that lives long and rarely needs much calls this first. By itself glibc learns from the first big
/// allocation that is freed to keep up to 64 MiB from then on. Source: mallopt(3), M_MMAP_THRESHOLD.
package func returnFreedMemory() { covey_return_freed_memory() }
