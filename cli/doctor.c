/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche doctor`: looks at the CPU, the kernel and the devices, says which backend an image gets here
 * and why, and how to fix what is missing. Relying party side.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/quote/aesm.h"
#include "host/quote/quote.h"
#include "host/sgx/backend.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define HWCAP2_FSGSBASE_BIT (1u << 1)

enum finding_state { FINDING_OK, FINDING_MISSING, FINDING_NOTE };

struct finding {
    const char *name;
    enum finding_state state;
    char text[200];
    const char *fix; /* NULL when there is nothing to do */
};

#define FINDINGS_MAX 16u
struct report {
    struct finding findings[FINDINGS_MAX];
    unsigned count;
};

static struct finding *add(struct report *r, const char *name, enum finding_state state,
                           const char *text, const char *fix)
{
    struct finding *f = &r->findings[r->count < FINDINGS_MAX ? r->count++ : FINDINGS_MAX - 1];

    *f = (struct finding){ .name = name, .state = state, .fix = fix };
    snprintf(f->text, sizeof f->text, "%s", text);
    return f;
}

static void look_at_cpu(struct report *r)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    bool sgx, sgx2 = false, sha;

    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    sgx = (b & 1u << 2) != 0;
    sha = (b & 1u << 29) != 0;
    if (sgx && __get_cpuid_count(0x12, 0, &a, &b, &c, &d))
        sgx2 = (a & 2) != 0;
    if (!sgx)
        add(r, "cpu-sgx", FINDING_MISSING, "the CPU has no SGX, or the firmware keeps it off",
            "use a machine with SGX (Intel Xeon since Ice Lake) and enable it in the firmware");
    else
        add(r, "cpu-sgx", FINDING_OK, sgx2 ? "SGX with EDMM (SGX2)" : "SGX without EDMM (SGX1)",
            sgx2 ? NULL : "memory of the enclave is fixed at build time on this CPU");
    if (sha)
        add(r, "cpu-sha", FINDING_OK, "SHA-NI: verified reads run at full speed", NULL);
    else
        add(r, "cpu-sha", FINDING_NOTE, "no SHA-NI: verified reads are about five times slower",
            NULL);
}

static void look_at_devices(struct report *r)
{
    static const char path[] = "/dev/sgx_enclave";
    struct finding *f;

    if (access(path, F_OK) < 0) {
        add(r, "device", FINDING_MISSING, "there is no /dev/sgx_enclave",
            "Linux 5.11 or later with CONFIG_X86_SGX=y; in a container, --device /dev/sgx_enclave");
    } else if (access(path, R_OK | W_OK) < 0) {
        f = add(r, "device", FINDING_MISSING, "", "add the user to the group that owns the device");
        snprintf(f->text, sizeof f->text, "%s: %s", path, strerror(errno));
    } else {
        add(r, "device", FINDING_OK, "/dev/sgx_enclave can be opened", NULL);
    }
}

/* Whether somebody listens: 0, or why not. */
static int probe_service(const char *path)
{
    struct sockaddr_un address;
    int rc = aesm_address_set(path, &address);

    return rc < 0 ? rc : aesm_probe(&address);
}

static void look_at_services(struct report *r)
{
    const char *named = getenv(QUOTE_SOCKET_ENV);
    const char *path = named && *named ? named : QUOTE_SOCKET_DEFAULT;
    int rc = probe_service(path);
    struct finding *f;

    if (rc == 0) {
        f = add(r, "quoting", FINDING_OK, "", NULL);
        snprintf(f->text, sizeof f->text, "the quoting service answers at %s", path);
    } else {
        f = add(r, "quoting", FINDING_NOTE, "",
                "install and start the platform's AESM with its ECDSA quoting plug-in");
        snprintf(f->text, sizeof f->text, "no quoting service, no evidence for others: %s: %s",
                 path, strerror(-rc));
    }
    if (!(named && *named) && probe_service(QUOTE_SOCKET_EMULATED) == 0)
        add(r, "quoting-emulated", FINDING_NOTE,
            "an emulated quoting service answers: its quotes protect nothing", NULL);
}

static void look_at_kernel(struct report *r)
{
    bool fsgsbase = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) != 0;
    bool dispatch = prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) == 0;

    if (fsgsbase)
        add(r, "kernel-fsgsbase", FINDING_OK, "FSGSBASE is enabled", NULL);
    else
        add(r, "kernel-fsgsbase", FINDING_MISSING, "the kernel does not enable FSGSBASE",
            "Linux 5.9 or later, without \"nofsgsbase\"");
    if (dispatch)
        add(r, "kernel-dispatch", FINDING_OK, "Syscall User Dispatch, for the emulator", NULL);
    else
        add(r, "kernel-dispatch", FINDING_MISSING,
            "no Syscall User Dispatch: the emulator cannot run",
            "Linux 5.11 or later with CONFIG_GENERIC_ENTRY");
}

static const char *state_name(enum finding_state state)
{
    return state == FINDING_OK ? "ok" : state == FINDING_MISSING ? "missing" : "note";
}

static void print_people(const struct report *r, const struct sgx_backend *backend, const char *why)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct finding *f = &r->findings[i];

        printf("%-8s %-16s %s\n", state_name(f->state), f->name, f->text);
        if (f->fix && f->state != FINDING_OK)
            printf("%-8s %-16s fix: %s\n", "", "", f->fix);
    }
    if (!backend)
        printf("\nNo image can run here: %s.\n", why);
    else
        printf("\nImages run on: %s%s%s%s\n", backend->name, why && *why ? " (" : "",
               why && *why ? why : "", why && *why ? ")" : "");
    if (backend && backend->emulated)
        printf(
            "The emulator protects nothing: whoever controls this machine can read the program's "
            "memory.\n");
}

/* All texts are ours and hold no character that JSON escapes, but for quotation marks. */
static void print_json_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            putchar('\\');
        putchar(*s);
    }
    putchar('"');
}

static void print_json(const struct report *r, const struct sgx_backend *backend, const char *why)
{
    printf("{\"backend\":");
    if (backend)
        print_json_string(backend->name);
    else
        printf("null");
    printf(",\"emulated\":%s,\"edmm\":%s,\"why\":", backend && backend->emulated ? "true" : "false",
           backend && backend->has_edmm ? "true" : "false");
    print_json_string(why ? why : "");
    printf(",\"findings\":[");
    for (unsigned i = 0; i < r->count; i++) {
        const struct finding *f = &r->findings[i];

        printf("%s{\"name\":", i ? "," : "");
        print_json_string(f->name);
        printf(",\"state\":\"%s\",\"text\":", state_name(f->state));
        print_json_string(f->text);
        printf(",\"fix\":");
        print_json_string(f->fix ? f->fix : "");
        printf("}");
    }
    printf("]}\n");
}

const char cmd_doctor_usage[] = "usage: cloche doctor [--json]\n"
                                "\n"
                                "Looks at CPU, kernel and devices: which backend an image gets "
                                "here and why, and how to fix what is missing.\n"
                                "\n"
                                "  --json         print it as JSON\n";

int cmd_doctor(int argc, char **argv)
{
    const struct sgx_backend *backend;
    struct report report = { .count = 0 };
    const char *why = "";

    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--json") != 0)) {
        if (strcmp(argv[1], "--help") != 0)
            return cli_usage("doctor", "%s is not expected",
                             argv[strcmp(argv[1], "--json") ? 1 : 2]);
        fputs(cmd_doctor_usage, stdout);
        return CLI_EXIT_OK;
    }
    look_at_cpu(&report);
    look_at_devices(&report);
    look_at_services(&report);
    look_at_kernel(&report);
    backend = sgx_backend_choose(&why);
    if (argc == 2)
        print_json(&report, backend, why);
    else
        print_people(&report, backend, why);
    return backend ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
