/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche inspect`: checks a sealed image, and says what it is and what the host may set. Relying party. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/image_check.h"
#include "cli/inspect_snp.h"

const char cmd_inspect_usage[] =
    "usage: cloche inspect [--json] IMAGE\n"
    "       cloche inspect [--json] --snp FIRMWARE [--vcpus N] [--vcpu MODEL] [--vmm qemu|ec2]\n"
    "                      [--features N] [--kernel FILE [--initrd FILE] [--append TEXT]]\n"
    "\n"
    "Checks every byte of a sealed image that matters (digests, "
    "descriptor, hash tree, measurement,\n"
    "signature) and prints its identity, and what the host may set. A "
    "changed image is refused with\n"
    "exit status 3.\n"
    "\n"
    "With --snp: prints the measurement that a SEV-SNP guest has which is launched with this "
    "firmware\n"
    "(OVMF), so that a policy can name it.\n"
    "\n"
    "      --json         print it as JSON\n"
    "      --vcpus N      virtual CPUs (1)\n"
    "      --vcpu MODEL   EPYC, EPYC-Rome, EPYC-Milan (the default), EPYC-Genoa, or CPUID 1 EAX\n"
    "      --vmm VMM      the hypervisor, whose reset state is measured: qemu (the default), ec2\n"
    "      --features N   SEV_FEATURES (1: SNP)\n"
    "      --kernel FILE  kernel, initrd and command line that the firmware checks\n";

static int show_usage(void)
{
    fputs(cmd_inspect_usage, stdout);
    return CLI_EXIT_OK;
}

static const struct option g_options[] = {
    { "json", no_argument, NULL, 'j' },
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

static const char *hex(const uint8_t *bytes, size_t size, char *ret)
{
    for (size_t i = 0; i < size; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
    return ret;
}

/* An argument or a value as a person can read it on one line. */
static void show_word(const char *s)
{
    bool quote = !s[0] || strpbrk(s, " \t\n\"'\\$&|;<>()*?");

    if (quote)
        putchar('\'');
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            printf("\\x%02x", (unsigned char)*s);
        else
            putchar(*s);
    if (quote)
        putchar('\'');
}

static void show_program(const struct descriptor *d)
{
    printf("runs         ");
    if (d->args_count == 0)
        printf("what the host says");
    for (uint32_t i = 0; i < d->args_count; i++) {
        if (i > 0)
            putchar(' ');
        show_word(d->args[i]);
    }
    printf("\n  as         uid %u, gid %u", d->uid, d->gid);
    for (uint32_t i = 0; i < d->groups_count; i++)
        printf("%s%u", i ? ", " : ", groups ", d->groups[i]);
    printf(", in %s\n", d->workdir);
    for (uint32_t i = 0; i < d->env_count; i++) {
        if (!d->env[i].value)
            continue;
        printf("  with       %s=", d->env[i].name);
        show_word(d->env[i].value);
        putchar('\n');
    }
    for (uint32_t i = 0; i < d->mounts_count; i++) {
        char size[32];

        if (d->mounts[i].kind == DESCRIPTOR_MOUNT_TMPFS)
            printf("  tmpfs      %s%s%s\n", d->mounts[i].path, d->mounts[i].size ? ", " : "",
                   d->mounts[i].size ? cli_size_text(d->mounts[i].size, size, sizeof size) : "");
    }
}

static void show_host(const struct descriptor *d)
{
    bool any = false;

    printf("the host may set (UNTRUSTED: no proof covers these)\n");
    if (d->args_from_host) {
        any = true;
        if (d->args_fixed)
            printf("  arguments  after the first %u\n", d->args_fixed);
        else
            printf("  arguments  all, the program too\n");
    }
    for (uint32_t i = 0; i < d->env_count; i++)
        if (!d->env[i].value) {
            any = true;
            printf("  variable   %s\n", d->env[i].name);
        }
    if (d->host_files) {
        any = true;
        printf("  files      /etc/resolv.conf, /etc/hosts, /etc/hostname\n");
    }
    for (uint32_t i = 0; i < d->mounts_count; i++)
        if (d->mounts[i].kind == DESCRIPTOR_MOUNT_HOST) {
            any = true;
            printf("  folder     %s%s\n", d->mounts[i].path,
                   d->mounts[i].read_only ? " (read-only)" : "");
        }
    if (!any)
        printf("  nothing\n");
}

static void show_server(const struct descriptor_server *s)
{
    char text[65];

    if (!s)
        return;
    printf("asks for certificate and secrets\n");
    for (uint32_t i = 0; i < s->urls_count; i++)
        printf("  server     %s\n", s->urls[i]);
    printf("  CA key     sha256 %s\n", hex(s->ca_key_sha256, 32, text));
    printf("  waits      %u s for an answer\n", s->start_limit_s);
    if (s->reload_signal[0])
        printf("  tells      the program with %s of new ones\n", s->reload_signal);
}

static void show_text(const char *path, const struct image_check *c)
{
    const struct descriptor *d = &c->descriptor;
    char text[97], size[32], memory[32];

    printf("image        %s, %s\n", path, cli_size_text(c->image_size, size, sizeof size));
    printf("name         %s\n", d->name);
    printf("app digest   %s\n", hex(c->app_digest, 48, text));
    printf("mrenclave    %s\n", hex(c->mrenclave, 32, text));
    printf("mrsigner     %s\n", hex(c->mrsigner, 32, text));
    printf("product      %u, security version %u\n", c->isv_prod_id, c->isv_svn);
    printf("verity root  %s\n", hex(d->verity_root, 32, text));
    printf("rootfs       %s\n", cli_size_text(d->rootfs_size, size, sizeof size));
    printf("limits       %s of memory, %u threads\n",
           cli_size_text(d->memory_size, memory, sizeof memory), d->threads_max);
    if (d->debug)
        printf("DEBUG        the host can read this enclave's memory: never for production\n");
    show_program(d);
    show_server(d->server);
    show_host(d);
    printf("checked      %s, descriptor, measurement, signature, %llu blocks\n",
           c->bundle.blob_count ? "digests of all blobs" : "files (unpacked: no blobs)",
           (unsigned long long)(d->rootfs_size / 4096));
}

static json_t *env_json(const struct descriptor *d, bool from_host)
{
    json_t *list = from_host ? json_array() : json_object();

    for (uint32_t i = 0; i < d->env_count; i++)
        if (from_host && !d->env[i].value)
            json_array_append_new(list, json_string(d->env[i].name));
        else if (!from_host && d->env[i].value)
            json_object_set_new(list, d->env[i].name, json_string(d->env[i].value));
    return list;
}

static json_t *mounts_json(const struct descriptor *d, enum descriptor_mount_kind kind)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < d->mounts_count; i++)
        if (d->mounts[i].kind == kind)
            json_array_append_new(list, json_pack("{s:s,s:b,s:I}", "path", d->mounts[i].path,
                                                  "read_only", d->mounts[i].read_only, "size",
                                                  (json_int_t)d->mounts[i].size));
    return list;
}

static json_t *server_json(const struct descriptor_server *s)
{
    json_t *urls = json_array();
    char text[65];

    for (uint32_t i = 0; s && i < s->urls_count; i++)
        json_array_append_new(urls, json_string(s->urls[i]));
    if (s)
        return json_pack("{s:o,s:s,s:s,s:I}", "urls", urls, "ca_key_sha256",
                         hex(s->ca_key_sha256, 32, text), "reload_signal", s->reload_signal,
                         "start_limit_s", (json_int_t)s->start_limit_s);
    json_decref(urls);
    return json_null();
}

static void show_json(const char *path, const struct image_check *c)
{
    const struct descriptor *d = &c->descriptor;
    char app[97], enclave[65], signer[65], root[65];
    json_t *args = json_array(), *groups = json_array();

    for (uint32_t i = 0; i < d->args_count; i++)
        json_array_append_new(args, json_string(d->args[i]));
    for (uint32_t i = 0; i < d->groups_count; i++)
        json_array_append_new(groups, json_integer(d->groups[i]));
    json_t *j = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:s,s:I,s:I,s:b,s:o,s:s,s:{s:I,s:I,s:o},s:o,s:o,s:s,"
        "s:{s:I,s:I,s:I},s:{s:b,s:I,s:o,s:b,s:o},s:o}",
        "image", path, "name", d->name, "app_digest", hex(c->app_digest, 48, app), "mrenclave",
        hex(c->mrenclave, 32, enclave), "mrsigner", hex(c->mrsigner, 32, signer), "isv_prod_id",
        (json_int_t)c->isv_prod_id, "isv_svn", (json_int_t)c->isv_svn, "verity_root",
        hex(d->verity_root, 32, root), "rootfs_size", (json_int_t)d->rootfs_size, "image_size",
        (json_int_t)c->image_size, "debug", d->debug, "args", args, "workdir", d->workdir, "user",
        "uid", (json_int_t)d->uid, "gid", (json_int_t)d->gid, "groups", groups, "env",
        env_json(d, false), "tmpfs", mounts_json(d, DESCRIPTOR_MOUNT_TMPFS), "hostname",
        d->hostname, "limits", "memory_size", (json_int_t)d->memory_size, "threads_max",
        (json_int_t)d->threads_max, "elrange_size", (json_int_t)d->elrange_size, "host_may_set",
        "args", d->args_from_host, "args_fixed", (json_int_t)d->args_fixed, "env",
        env_json(d, true), "files", d->host_files, "folders", mounts_json(d, DESCRIPTOR_MOUNT_HOST),
        "server", server_json(d->server));

    json_dumpf(j, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(j);
}

int cmd_inspect(int argc, char **argv)
{
    struct image_check c;
    struct err err = { 0 };
    bool json = false;
    int option;

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--snp", 5) == 0)
            return inspect_snp(argc, argv);
    while ((option = getopt_long(argc, argv, "h", g_options, NULL)) != -1) {
        if (option == 'h')
            return show_usage();
        if (option != 'j')
            return cli_usage("inspect", "unknown option");
        json = true;
    }
    if (optind + 1 != argc)
        return cli_usage("inspect", "one IMAGE is expected");
    int rc = image_check(argv[optind], &c, &err);

    if (rc < 0)
        return cli_fail(&err, rc);
    if (json)
        show_json(argv[optind], &c);
    else
        show_text(argv[optind], &c);
    image_check_done(&c);
    return CLI_EXIT_OK;
}
