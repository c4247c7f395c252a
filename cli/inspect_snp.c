/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launch digest of a SEV-SNP guest, computed from what it is launched with: firmware, virtual CPUs, and with a firmware that checks
 * them, kernel, initrd and command line. Relying party; the firmware may be hostile.
 */
#include "cli/inspect_snp.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/file.h"
#include "lib/ovmf.h"

#define VCPU_COUNT_MAX 4096u
#define KERNEL_SIZE_MAX (512u << 20)
#define BSP_RESET_EIP 0xfffffff0u

struct guest {
    const char *firmware, *kernel, *initrd, *cmdline;
    unsigned vcpu_count;
    enum snp_launch_vmm vmm;
    uint32_t vcpu_signature;
    uint64_t features;
    bool json;
};

/* CPUID 1 EAX of QEMU's models: family, model, stepping. */
static const struct {
    const char *name;
    uint32_t signature;
} g_vcpus[] = { { "EPYC", 0x00800f12 },
                { "EPYC-Rome", 0x00830f10 },
                { "EPYC-Milan", 0x00a00f11 },
                { "EPYC-Genoa", 0x00a10f10 } };

static const struct option g_options[] = {
    { "snp", required_argument, NULL, 's' },      { "vcpus", required_argument, NULL, 'n' },
    { "vmm", required_argument, NULL, 'm' },      { "vcpu", required_argument, NULL, 'c' },
    { "features", required_argument, NULL, 'f' }, { "kernel", required_argument, NULL, 'k' },
    { "initrd", required_argument, NULL, 'i' },   { "append", required_argument, NULL, 'a' },
    { "json", no_argument, NULL, 'j' },           { 0 },
};

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == 0 && text[0] != '-' && *ret >= min && *ret <= max;
}

static bool parse_vcpu(const char *text, uint32_t *ret)
{
    uint64_t number;

    for (unsigned i = 0; i < ARRAY_COUNT(g_vcpus); i++)
        if (strcmp(g_vcpus[i].name, text) == 0) {
            *ret = g_vcpus[i].signature;
            return true;
        }
    if (!parse_number(text, 1, UINT32_MAX, &number))
        return false;
    *ret = (uint32_t)number;
    return true;
}

/* returns: NULL, or what is wrong. */
static const char *take_option(int option, const char *value, struct guest *g)
{
    uint64_t number;

    switch (option) {
    case 's':
        g->firmware = value;
        return NULL;
    case 'n':
        if (!parse_number(value, 1, VCPU_COUNT_MAX, &number))
            return "--vcpus: a number from 1 to 4096";
        g->vcpu_count = (unsigned)number;
        return NULL;
    case 'm':
        g->vmm = strcmp(value, "ec2") == 0 ? SNP_LAUNCH_EC2 : SNP_LAUNCH_QEMU;
        return strcmp(value, "ec2") && strcmp(value, "qemu") ? "--vmm: qemu or ec2" : NULL;
    case 'c':
        return parse_vcpu(value, &g->vcpu_signature)
                   ? NULL
                   : "--vcpu: EPYC, EPYC-Rome, EPYC-Milan, EPYC-Genoa, or CPUID 1 EAX";
    case 'f':
        return parse_number(value, 0, UINT64_MAX, &g->features) ? NULL : "--features: a number";
    case 'k':
        g->kernel = value;
        return NULL;
    case 'i':
        g->initrd = value;
        return NULL;
    case 'a':
        g->cmdline = value;
        return NULL;
    case 'j':
        g->json = true;
        return NULL;
    default:
        return "unknown option, or no value";
    }
}

/* ---- measuring ---- */

static int hash_file(const char *path, uint8_t ret[32], struct err *err)
{
    struct file_bytes file = { 0 };
    int rc = path ? file_bytes_read(path, KERNEL_SIZE_MAX, &file, err) : 0;

    if (rc == 0)
        sha256_digest(file.data, file.size, ret);
    file_bytes_done(&file);
    return rc;
}

/* The page that QEMU writes the hashes into. */
static int make_hashes(const struct guest *g, const struct ovmf *ovmf, uint8_t page[PAGE_SIZE],
                       struct err *err)
{
    const char *cmdline = g->cmdline ? g->cmdline : "";
    size_t off = ovmf->hashes_gpa % PAGE_SIZE;
    uint8_t kernel[32], initrd[32], text[32];
    int rc;

    if (ovmf->hashes_gpa == 0)
        return err_set(err, -EINVAL, "%s takes no hashes: with it --kernel is not measured",
                       g->firmware);
    if (off + SNP_LAUNCH_HASHES_SIZE > PAGE_SIZE)
        return err_set(err, -EINVAL, "%s: the table of hashes does not fit its page", g->firmware);
    rc = hash_file(g->kernel, kernel, err);
    if (rc == 0)
        rc = hash_file(g->initrd, initrd, err);
    if (rc < 0)
        return rc;
    sha256_digest((const uint8_t *)cmdline, strlen(cmdline) + 1, text);
    memset(page, 0, PAGE_SIZE);
    snp_launch_hashes(kernel, initrd, text, page + off);
    return 0;
}

static void add_section(struct snp_launch *launch, const struct ovmf_section *s,
                        const uint8_t *hashes)
{
    switch (s->type) {
    case SNP_LAUNCH_SECTION_SECRETS:
        snp_launch_range(launch, SNP_LAUNCH_PAGE_SECRETS, s->gpa, s->size);
        break;
    case SNP_LAUNCH_SECTION_CPUID:
        snp_launch_range(launch, SNP_LAUNCH_PAGE_CPUID, s->gpa, s->size);
        break;
    case SNP_LAUNCH_SECTION_KERNEL_HASHES:
        if (hashes)
            snp_launch_page(launch, SNP_LAUNCH_PAGE_NORMAL, s->gpa, hashes);
        else
            snp_launch_range(launch, SNP_LAUNCH_PAGE_ZERO, s->gpa, s->size);
        break;
    default:
        snp_launch_range(launch, SNP_LAUNCH_PAGE_ZERO, s->gpa, s->size);
        break;
    }
}

/* EC2 puts the CPUID page in last. */
static void add_sections(struct snp_launch *launch, const struct guest *g, const struct ovmf *ovmf,
                         const uint8_t *hashes)
{
    for (unsigned last = 0; last < 2; last++)
        for (unsigned i = 0; i < ovmf->section_count; i++) {
            bool is_late =
                g->vmm == SNP_LAUNCH_EC2 && ovmf->sections[i].type == SNP_LAUNCH_SECTION_CPUID;

            if (is_late == (last == 1))
                add_section(launch, &ovmf->sections[i], hashes);
        }
}

static void add_vcpus(struct snp_launch *launch, const struct guest *g, const struct ovmf *ovmf)
{
    uint8_t vmsa[PAGE_SIZE];

    for (unsigned i = 0; i < g->vcpu_count; i++) {
        struct snp_launch_vcpu vcpu = { .vmm = g->vmm,
                                        .reset_eip = i == 0 ? BSP_RESET_EIP : ovmf->reset_eip,
                                        .signature = g->vcpu_signature,
                                        .sev_features = g->features };

        snp_launch_vmsa(&vcpu, vmsa);
        snp_launch_page(launch, SNP_LAUNCH_PAGE_VMSA, SNP_LAUNCH_VMSA_GPA, vmsa);
    }
}

static int measure(const struct guest *g, const struct file_bytes *firmware,
                   struct snp_launch *launch, struct ovmf *ret_ovmf, struct err *err)
{
    uint8_t hashes[PAGE_SIZE];
    const char *why;
    int rc = ovmf_parse(firmware->data, firmware->size, ret_ovmf, &why);

    if (rc < 0)
        return err_set(err, -EINVAL, "%s: %s", g->firmware, why);
    if (g->kernel)
        rc = make_hashes(g, ret_ovmf, hashes, err);
    if (rc < 0)
        return rc;
    snp_launch_init(launch, NULL);
    snp_launch_firmware(launch, firmware->data, firmware->size);
    add_sections(launch, g, ret_ovmf, g->kernel ? hashes : NULL);
    add_vcpus(launch, g, ret_ovmf);
    return 0;
}

/* ---- the command ---- */

static void show(const struct guest *g, const struct ovmf *ovmf, const struct snp_launch *launch)
{
    const char *vmm = g->vmm == SNP_LAUNCH_EC2 ? "ec2" : "qemu";
    char digest[2 * SHA384_SIZE + 1];
    json_t *o;

    for (unsigned i = 0; i < SHA384_SIZE; i++)
        snprintf(digest + 2 * i, 3, "%02x", launch->digest[i]);
    if (!g->json) {
        printf("firmware     %s, %u sections of SEV metadata\n", g->firmware, ovmf->section_count);
        printf("launched by  %s, %u virtual CPU%s (CPUID 1 EAX 0x%08x, features 0x%llx)\n", vmm,
               g->vcpu_count, g->vcpu_count == 1 ? "" : "s", g->vcpu_signature,
               (unsigned long long)g->features);
        if (g->kernel)
            printf("kernel       %s, hashed with initrd and command line\n", g->kernel);
        printf("measurement  %s\n", digest);
        return;
    }
    o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "firmware", g->firmware, "vmm", vmm, "vcpus",
                  (json_int_t)g->vcpu_count, "vcpu_signature", (json_int_t)g->vcpu_signature,
                  "features", (json_int_t)g->features, "measurement", digest);
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

int inspect_snp(int argc, char **argv)
{
    struct guest g = { .vcpu_count = 1, .vcpu_signature = 0x00a00f11, .features = 1 };
    struct file_bytes firmware = { 0 };
    struct snp_launch launch;
    struct ovmf ovmf;
    struct err err = { 0 };
    int option, rc;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", g_options, NULL)) != -1) {
        const char *wrong = take_option(option, optarg, &g);

        if (wrong)
            return cli_usage("inspect", "%s", wrong);
    }
    if (!g.firmware || optind != argc)
        return cli_usage("inspect", "--snp takes a FIRMWARE and no image");
    if (!g.kernel && (g.initrd || g.cmdline))
        return cli_usage("inspect", "--initrd and --append go with --kernel");
    rc = file_bytes_read(g.firmware, OVMF_SIZE_MAX, &firmware, &err);
    if (rc == 0)
        rc = measure(&g, &firmware, &launch, &ovmf, &err);
    if (rc == 0)
        show(&g, &ovmf, &launch);
    file_bytes_done(&firmware);
    return rc < 0 ? cli_fail(&err, rc) : CLI_EXIT_OK;
}
