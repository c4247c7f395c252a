/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks /dev/cloche for what the arguments say and prints it in hexadecimal, one line a request; for test_evidence.py.
 *
 *     targetinfo                         report TARGETINFO DATA              verify REPORT
 *     key POLICY FLAGS ISV_SVN CPU_SVN KEY_ID LABEL                          raw REQUEST HEX
 *
 * A failed request prints "error N". DATA and the like are hexadecimal, shorter ones are filled with zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/evidence.h"

static int g_device;

static void parse_hex(const char *text, void *ret, size_t size)
{
    uint8_t *bytes = ret;
    unsigned value;

    for (size_t i = 0; i < size && sscanf(text + 2 * i, "%2x", &value) == 1; i++)
        bytes[i] = (uint8_t)value;
}

static void show(int rc, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    if (rc < 0) {
        printf("error %d\n", errno);
        return;
    }
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

static int take_targetinfo(char **argv)
{
    struct sgx_targetinfo target;

    show(ioctl(g_device, CLOCHE_IOC_TARGETINFO, &target), &target, sizeof target);
    return 0;
}

static int take_report(char **argv)
{
    struct evidence_report_request request = { 0 };

    parse_hex(argv[0], &request.targetinfo, sizeof request.targetinfo);
    parse_hex(argv[1], request.report_data, sizeof request.report_data);
    show(ioctl(g_device, CLOCHE_IOC_REPORT, &request), &request.report, sizeof request.report);
    return 2;
}

static int take_verify(char **argv)
{
    struct sgx_report report = { 0 };

    parse_hex(argv[0], &report, sizeof report);
    show(ioctl(g_device, CLOCHE_IOC_REPORT_VERIFY, &report), "\1", 1);
    return 1;
}

static int take_key(char **argv)
{
    struct evidence_key_request r = { 0 };
    uint16_t isv_svn;

    r.policy = (uint32_t)strtoul(argv[0], NULL, 0);
    r.flags = (uint32_t)strtoul(argv[1], NULL, 0);
    r.isv_svn = (uint16_t)strtoul(argv[2], NULL, 0);
    parse_hex(argv[3], r.cpu_svn, sizeof r.cpu_svn);
    parse_hex(argv[4], r.key_id, sizeof r.key_id);
    r.label_size = (uint16_t)strlen(argv[5]);
    memcpy(r.label, argv[5], r.label_size > sizeof r.label ? sizeof r.label : r.label_size);
    if (ioctl(g_device, CLOCHE_IOC_KEY, &r) < 0) {
        show(-1, NULL, 0);
        return 6;
    }
    isv_svn = r.isv_svn;
    printf("%u ", isv_svn);
    for (size_t i = 0; i < sizeof r.cpu_svn; i++)
        printf("%02x", r.cpu_svn[i]);
    printf(" ");
    show(0, r.key, sizeof r.key);
    return 6;
}

static int take_raw(char **argv)
{
    static uint8_t bytes[2048];

    memset(bytes, 0, sizeof bytes);
    parse_hex(argv[1], bytes, sizeof bytes);
    show(ioctl(g_device, strtoul(argv[0], NULL, 0), argv[1][0] == '-' ? NULL : bytes), "\1", 1);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*take)(char **argv);
        int count;
    } requests[] = { { "targetinfo", take_targetinfo, 0 },
                     { "report", take_report, 2 },
                     { "verify", take_verify, 1 },
                     { "key", take_key, 6 },
                     { "raw", take_raw, 2 } };

    g_device = open("/dev/cloche", O_RDWR | O_CLOEXEC);
    if (g_device < 0) {
        perror("/dev/cloche");
        return 1;
    }
    for (int i = 1; i < argc;) {
        size_t n = 0;

        while (n < sizeof requests / sizeof requests[0] && strcmp(argv[i], requests[n].name) != 0)
            n++;
        if (n == sizeof requests / sizeof requests[0] || i + requests[n].count >= argc)
            return 2;
        i += 1 + requests[n].take(argv + i + 1);
        fflush(stdout);
    }
    return 0;
}
