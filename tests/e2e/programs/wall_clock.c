/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload that tells its tester what time it is, one command a line on stdin, one line of answer on stdout:
 *
 *     clocks      nanoseconds since 1970, NAME=NS each, of all that show wall time
 *     mono        CLOCK_MONOTONIC and CLOCK_BOOTTIME, ns
 *     cert PATH   whether the certificate is valid now, as OpenSSL tells it: past, valid, future
 *     settime     the errno of clock_settime; bind: that of CLOCHE_IOC_TIME on /dev/cloche
 *     alarm S     arms a timerfd S seconds of wall time from now, with TFD_TIMER_CANCEL_ON_SET; await: its read's errno or ticks
 *     error       of adjtimex: state, and the greatest error in microseconds
 *     trap SIGNAL
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "abi/evidence.h"

#define NS_PER_S 1000000000ll

static int g_timer = -1;

static long long ns_of(struct timespec ts)
{
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static long long clock_ns(clockid_t clock)
{
    struct timespec ts = { 0 };

    clock_gettime(clock, &ts);
    return ns_of(ts);
}

/* By the system call, not the vDSO. */
static long long call_ns(clockid_t clock)
{
    struct timespec ts = { 0 };

    syscall(SYS_clock_gettime, clock, &ts);
    return ns_of(ts);
}

static long long file_ns(void)
{
    struct stat st = { 0 };
    int fd = open("/tmp/stamp", O_WRONLY | O_CREAT | O_TRUNC, 0600);

    fstat(fd, &st);
    close(fd);
    unlink("/tmp/stamp");
    return ns_of(st.st_mtim);
}

/* When the machine started, of /proc/stat, and how long ago that is. */
static long long proc_ns(void)
{
    char line[256];
    long long btime = 0;
    FILE *file = fopen("/proc/stat", "r");

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "btime ", 6) == 0)
            btime = strtoll(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return btime * NS_PER_S + clock_ns(CLOCK_MONOTONIC);
}

static void print_clocks(void)
{
    struct timeval tv;
    long long of_time, of_day;

    gettimeofday(&tv, NULL);
    of_day = tv.tv_sec * NS_PER_S + tv.tv_usec * 1000;
    of_time = time(NULL) * NS_PER_S;
    printf("real=%lld call=%lld coarse=%lld tai=%lld day=%lld time=%lld file=%lld proc=%lld\n",
           clock_ns(CLOCK_REALTIME), call_ns(CLOCK_REALTIME), clock_ns(CLOCK_REALTIME_COARSE),
           clock_ns(CLOCK_TAI), of_day, of_time, file_ns(), proc_ns());
}

static const char *cert_state(const char *path)
{
    FILE *file = fopen(path, "r");
    X509 *cert = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    const char *state = "none";

    if (cert && X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        state = "future";
    else if (cert)
        state = X509_cmp_current_time(X509_get0_notAfter(cert)) < 0 ? "past" : "valid";
    X509_free(cert);
    if (file)
        fclose(file);
    return state;
}

static int settime_errno(void)
{
    struct timespec ts = { .tv_sec = 1 };

    return clock_settime(CLOCK_REALTIME, &ts) < 0 ? errno : 0;
}

static int bind_errno(void)
{
    struct evidence_time_bound bound = { .monotonic_ns = (uint64_t)clock_ns(CLOCK_MONOTONIC),
                                         .earliest_ns = 4000000000000000000u,
                                         .latest_ns = 4000000000000000001u };
    int fd = open("/dev/cloche", O_RDWR);

    if (fd < 0)
        return errno;
    return ioctl(fd, CLOCHE_IOC_TIME, &bound) < 0 ? errno : 0;
}

static int alarm_set(long seconds)
{
    struct itimerspec at = { 0 };

    g_timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
    at.it_value.tv_sec = time(NULL) + seconds;
    return timerfd_settime(g_timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL);
}

static void on_signal(int signo)
{
    char text[] = "signal 00\n";

    text[7] = (char)('0' + signo / 10);
    text[8] = (char)('0' + signo % 10);
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        _exit(99);
}

static void do_command(const char *command, const char *word)
{
    uint64_t ticks = 0;

    if (strcmp(command, "clocks") == 0) {
        print_clocks();
    } else if (strcmp(command, "mono") == 0) {
        printf("%lld %lld\n", clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_BOOTTIME));
    } else if (strcmp(command, "cert") == 0) {
        puts(cert_state(word));
    } else if (strcmp(command, "settime") == 0) {
        printf("%d\n", settime_errno());
    } else if (strcmp(command, "bind") == 0) {
        printf("%d\n", bind_errno());
    } else if (strcmp(command, "alarm") == 0) {
        printf("%d\n", alarm_set(strtol(word, NULL, 10)));
    } else if (strcmp(command, "await") == 0) {
        ssize_t got;

        do {
            got = read(g_timer, &ticks, sizeof ticks);
        } while (got < 0 && errno == EINTR);
        printf("%s %d\n", got < 0 ? "error" : "ticks", got < 0 ? errno : (int)ticks);
    } else if (strcmp(command, "error") == 0) {
        struct timex t = { 0 };
        int state = adjtimex(&t);

        printf("%d %ld\n", state, t.maxerror);
    } else if (strcmp(command, "trap") == 0) {
        signal((int)strtol(word, NULL, 10), on_signal);
        puts("ok");
    } else {
        puts("what?");
    }
}

int main(void)
{
    char line[1024];

    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    for (;;) {
        char command[16] = "", word[900] = "";

        if (!fgets(line, sizeof line, stdin)) {
            if (feof(stdin))
                return 0;
            clearerr(stdin); /* a signal */
            continue;
        }
        if (sscanf(line, "%15s %899s", command, word) >= 1)
            do_command(command, word);
    }
}
