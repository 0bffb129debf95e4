/* Puts the wall clock of a process wrong, as the file named in WALL_CLOCK says: "AHEAD PACE SINCE", where it is AHEAD
 * seconds ahead at SINCE, an instant of the monotonic clock, and gains PACE seconds in each second from then on.
 * Only what asks for the time of day is told a lie; what measures and waits goes on by the monotonic clock. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

typedef int (*ask)(clockid_t, struct timespec *);

static double ahead(ask real)
{
    const char *path = getenv("WALL_CLOCK");
    FILE *file = path ? fopen(path, "r") : NULL;
    double first = 0, pace = 0, since = 0;
    struct timespec now;

    if (file) {
        if (fscanf(file, "%lf %lf %lf", &first, &pace, &since) != 3)
            first = pace = 0;
        fclose(file);
    }
    real(CLOCK_MONOTONIC, &now);
    return first + pace * ((double)now.tv_sec + now.tv_nsec / 1e9 - since);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static ask real;
    double part, whole;
    int failed;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        part = modf(ahead(real) + now->tv_nsec / 1e9, &whole);
        if (part < 0) {
            part += 1;
            whole -= 1;
        }
        now->tv_sec += (time_t)whole;
        now->tv_nsec = (long)(part * 1e9);
    }
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *kept)
{
    struct timespec exact;

    clock_gettime(CLOCK_REALTIME, &exact);
    if (kept)
        *kept = exact.tv_sec;
    return exact.tv_sec;
}
