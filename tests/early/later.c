// Lets an hour pass for a process that this is preloaded into: while the file that OFFHOOK_TEST_LATER
// names is there, the wall clock is an hour ahead.

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *later = getenv("OFFHOOK_TEST_LATER");
    if (!failed && clock == CLOCK_REALTIME && later && access(later, F_OK) == 0) {
        now->tv_sec += 3600;
    }
    return failed;
}
