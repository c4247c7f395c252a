/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, exit statuses and paths of the subcommands. Relying party. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cli_fail(const struct err *err, int rc)
{
    const char *text = err->text[0] ? err->text : strerror(-rc);

    fprintf(stderr, "cloche: %s%s\n", rc == -EBADMSG ? "refused: " : "", text);
    return rc == -EBADMSG ? CLI_EXIT_REFUSED : CLI_EXIT_FAILED;
}

int cli_usage(const char *name, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "cloche %s: ", name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n`cloche %s --help` says how it is used.\n", name);
    return CLI_EXIT_USAGE;
}

int cli_program_path(const char *name, char *ret, size_t ret_size, struct err *err)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    if (len <= 0)
        return err_set_errno(err, -errno, "cannot find where this program is");
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    if (snprintf(ret, ret_size, "%s/%s", self, name) >= (int)ret_size)
        return err_set_errno(err, -ENAMETOOLONG, "%s", name);
    if (access(ret, R_OK) < 0)
        return err_set(err, -ENOENT, "%s is missing: it belongs beside this program", ret);
    return 0;
}

const char *cli_size_text(uint64_t size, char *ret, size_t ret_size)
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    double value = (double)size;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(ret, ret_size, value == (double)(uint64_t)value ? "%.0f %s" : "%.1f %s", value,
             units[unit]);
    return ret;
}
