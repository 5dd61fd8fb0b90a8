// The reference's first program: what any init must do before it can run something from the root disk, and no more.
// It loads the modules that Covey's initramfs lists, in that order, mounts the root by the same route, and prints.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *text) {
    if (write(1, text, strlen(text)) < 0) _exit(1);
}

static int text_of(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t count = read(file, text, size - 1);
    close(file);
    text[count < 0 ? 0 : count] = 0;
    return (int)count;
}

static void load_modules(void) {
    static char list[65536];
    if (text_of("/covey/modules", list, sizeof list) < 0) return;
    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
        int file = open(line, O_RDONLY | O_CLOEXEC);
        if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0) say("raw-init: a module failed\n");
        close(file);
    }
}

// The disk with Covey's serial for roots. Looks every half millisecond, at most ten seconds.
static int root_disk(char *device, size_t size) {
    for (int turn = 0; turn < 20000; turn++) {
        DIR *blocks = opendir("/sys/block");
        for (struct dirent *entry; blocks && (entry = readdir(blocks));) {
            char path[300], serial[64];
            snprintf(path, sizeof path, "/sys/block/%s/serial", entry->d_name);
            if (text_of(path, serial, sizeof serial) < 0 || strncmp(serial, "covey-root", 10) != 0) continue;
            snprintf(device, size, "/dev/%s", entry->d_name);
            closedir(blocks);
            return 0;
        }
        if (blocks) closedir(blocks);
        usleep(500);
    }
    return -1;
}

int main(void) {
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mkdir("/sys", 0755);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    for (int number = 0; number < 3 && console >= 0; number++) dup2(console, number);
    load_modules();
    char device[300];
    mkdir("/newroot", 0755);
    if (root_disk(device, sizeof device) == 0 && mount(device, "/newroot", "ext4", 0, NULL) == 0
        && chdir("/newroot") == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0) {
        say("covey-raw-qemu: root mounted\n");
    } else {
        say("raw-init: the root could not be mounted\n");
    }
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
