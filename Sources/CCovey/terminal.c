#include "covey_terminal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

static struct termios before;
static int raw_terminal;
static volatile sig_atomic_t is_kept;

int covey_enter_raw_mode(int terminal) {
    struct termios settings;
    if (tcgetattr(terminal, &settings) != 0) return -1;
    if (!is_kept) {
        before = settings;
        raw_terminal = terminal;
        is_kept = 1;
    }
    settings = before;
    cfmakeraw(&settings);
    return tcsetattr(terminal, TCSADRAIN, &settings);
}

void covey_leave_raw_mode(void) {
    int kept = errno;
    // Not drained: a terminal that takes no output is restored, too.
    if (is_kept) tcsetattr(raw_terminal, TCSANOW, &before);
    errno = kept;
}

static void crashed(int number) {
    covey_leave_raw_mode();
    raise(number);
}

void covey_leave_raw_mode_on_crash(void) {
    int numbers[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = crashed;
    action.sa_flags = SA_RESETHAND | SA_NODEFER;
    for (unsigned index = 0; index < sizeof numbers / sizeof *numbers; index++) {
        struct sigaction present;
        if (sigaction(numbers[index], 0, &present) == 0 && present.sa_handler == SIG_DFL)
            sigaction(numbers[index], &action, 0);
    }
}
