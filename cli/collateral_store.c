/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the cache of collateral as the options and the environment say. Relying party side. */
#include "cli/collateral_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/evidence.h"
#include "verifier/json_read.h"

const char g_collateral_flags_help[] =
    "  --cache DIR          the cache; without it $CLOCHE_COLLATERAL_CACHE, else "
    "~/.cache/cloche/collateral\n"
    "  --pcs URL            Intel's service (https://api.trustedservices.intel.com)\n"
    "  --pccs URL           a caching service (PCCS) of your own instead, https://HOST:8081\n"
    "  --kds URL            AMD's key server (https://kdsintf.amd.com)\n"
    "  --root-crl URL       revocation list of Intel's root, where neither has it\n"
    "  --ca FILE            CA certificates (PEM) for TLS, instead of the system's\n"
    "  --proxy URL          without it as https_proxy and no_proxy say\n"
    "  --policy FILE        whose roots are trusted (docs/policy.md); without it: the makers'\n"
    "  --at TIME            as if it were this time, 2025-06-19T10:56:11Z\n"
    "  --deadline SECONDS   for everything, waits included (120)\n"
    "  --attempts N         requests for one item, while its server fails (5)\n"
    "  --retry-wait MS      the first wait; each next one is twice as long (1000)\n"
    "  --rate-limit-wait MS at least so long after \"too many requests\" (10000)\n"
    "  --allow-http         take URLs without TLS: what they serve is checked all the same\n"
    "  --allow-redirects    follow redirects to other hosts\n"
    "  --quiet              no progress; --json: output for programs\n";

static int take_number(const char *name, const char *value, uint32_t unit, uint32_t *ret,
                       struct err *err)
{
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(value, &end, 10);
    if (errno || *end || end == value || value[0] == '-' || number == 0 ||
        number > 86400000u / unit)
        return err_set(err, -EINVAL, "%s: a number from 1 to %u, not %s", name, 86400000u / unit,
                       value);
    *ret = (uint32_t)number * unit;
    return 1;
}

static bool take_switch(struct collateral_flags *flags, const char *name)
{
    struct {
        const char *name;
        bool *place;
    } const all[] = {
        { "--allow-http", &flags->options.http_allowed },
        { "--allow-redirects", &flags->options.redirects_allowed },
        { "--json", &flags->json },
        { "--quiet", &flags->quiet },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        if (strcmp(all[i].name, name) == 0)
            return *all[i].place = true;
    return false;
}

static bool take_text(struct collateral_flags *flags, const char *name, const char *value)
{
    struct collateral_options *o = &flags->options;
    struct {
        const char *name, **place;
    } const all[] = {
        { "--cache", &o->folder },    { "--pcs", &o->pcs_url },
        { "--pccs", &o->pcs_url },    { "--kds", &o->kds_url },
        { "--ca", &o->ca_file },      { "--root-crl", &o->root_crl_url },
        { "--proxy", &o->proxy_url }, { "--policy", &flags->policy_path },
        { "--at", &flags->at },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        if (strcmp(all[i].name, name) == 0) {
            *all[i].place = value;
            o->pcs_is_pccs |= strcmp(name, "--pccs") == 0;
            return true;
        }
    return false;
}

static int take_any_number(struct collateral_flags *flags, const char *name, const char *value,
                           struct err *err)
{
    struct collateral_options *o = &flags->options;
    struct {
        const char *name;
        uint32_t unit, *place;
    } const all[] = {
        { "--deadline", 1000, &o->deadline_ms },
        { "--attempts", 1, &o->attempt_count },
        { "--retry-wait", 1, &o->retry_wait_ms },
        { "--rate-limit-wait", 1, &o->rate_limit_wait_ms },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        if (strcmp(all[i].name, name) == 0)
            return value ? take_number(name, value, all[i].unit, all[i].place, err)
                         : err_set(err, -EINVAL, "%s needs a value", name);
    return 0;
}

int collateral_flag_take(struct collateral_flags *flags, int argc, char **argv, int *i,
                         struct err *err)
{
    const char *name = argv[*i], *value = *i + 1 < argc ? argv[*i + 1] : NULL;
    int rc;

    if (take_switch(flags, name))
        return 1;
    rc = take_any_number(flags, name, value, err);
    if (rc == 0)
        rc = take_text(flags, name, value);
    if (rc == 1 && !value)
        return err_set(err, -EINVAL, "%s needs a value", name);
    *i += rc == 1;
    return rc;
}

/* ---- opening ---- */

static int find_folder(struct collateral_flags *flags, struct err *err)
{
    const char *own = getenv("CLOCHE_COLLATERAL_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int len;

    if (flags->options.folder)
        return 0;
    if (own && own[0])
        len = snprintf(flags->folder, sizeof flags->folder, "%s", own);
    else if (xdg && xdg[0] == '/')
        len = snprintf(flags->folder, sizeof flags->folder, "%s/cloche/collateral", xdg);
    else if (home && home[0] == '/')
        len = snprintf(flags->folder, sizeof flags->folder, "%s/.cache/cloche/collateral", home);
    else
        return err_set(err, -ENOENT,
                       "there is no home folder; --cache DIR says where the cache is");
    if (len >= (int)sizeof flags->folder)
        return err_set(err, -ENAMETOOLONG, "the cache's name is too long");
    flags->options.folder = flags->folder;
    return 0;
}

static int64_t given_now_s(void *context)
{
    const struct collateral_flags *flags = context;

    return flags->at_s;
}

static int set_clock(struct collateral_flags *flags, struct err *err)
{
    if (!flags->at)
        return 0;
    if (time_parse(flags->at, strlen(flags->at), &flags->at_s) < 0)
        return err_set(err, -EINVAL, "--at: write the time as 2025-06-19T10:56:11Z");
    flags->clock = *collateral_clock_system();
    flags->clock.now_s = given_now_s;
    flags->clock.context = flags;
    flags->options.clock = &flags->clock;
    return 0;
}

static void show_progress(void *context, const char *text)
{
    struct collateral_flags *flags = context;

    fprintf(stderr, "\r\033[K%.100s", text);
    fflush(stderr);
    flags->progress_shown = true;
}

void collateral_progress_clear(struct collateral_flags *flags)
{
    if (flags->progress_shown)
        fputs("\r\033[K", stderr);
    flags->progress_shown = false;
}

int collateral_flags_open(struct collateral_flags *flags, struct collateral **ret, struct err *err)
{
    int rc = find_folder(flags, err);

    if (rc == 0)
        rc = flags->policy_path ? policy_file_read(flags->policy_path, &flags->policy, err) : 0;
    flags->options.policy = flags->policy;
    if (rc == 0)
        rc = set_clock(flags, err);
    if (rc == 0 && !flags->quiet && isatty(STDERR_FILENO)) {
        flags->options.progress = show_progress;
        flags->options.progress_context = flags;
    }
    return rc == 0 ? collateral_open(&flags->options, ret, err) : rc;
}

void collateral_flags_done(struct collateral_flags *flags)
{
    verifier_policy_free(flags->policy);
    flags->policy = NULL;
}

int64_t collateral_flags_now(const struct collateral_flags *flags)
{
    return flags->at ? flags->at_s : time(NULL);
}

/* ---- for `cloche verify` ---- */

static int fill(struct collateral_flags *flags, struct collateral *store,
                struct collateral_needs *needs, enum collateral_mode mode,
                struct collateral_set *set, struct err *err)
{
    int rc = 0;

    collateral_needs_settle(store, needs, mode);
    for (unsigned i = 0; rc == 0 && i < needs->count; i++) {
        struct collateral_got got = { 0 };

        if (collateral_set_has(set, &needs->items[i]))
            continue;
        rc = collateral_get(store, &needs->items[i], mode, &got, err);
        collateral_progress_clear(flags);
        if (rc == 0 && got.outcome == COLLATERAL_KEPT)
            fprintf(stderr, "cloche: %s (what is held is still valid)\n", got.why.text);
        if (rc == 0)
            rc = collateral_set_add(set, &got.entry);
        collateral_got_done(&got);
    }
    return rc;
}

int collateral_set_fill(struct collateral_flags *flags, struct verifier_bytes evidence,
                        enum collateral_mode mode, struct collateral_set *set, struct err *err)
{
    struct collateral_wishes wishes = { .has_vek = set->items.vek.size > 0 };
    struct collateral_needs needs;
    struct collateral *store = NULL;
    int rc = collateral_needs_find(evidence, &wishes, &needs, err);

    if (rc == 0)
        rc = collateral_flags_open(flags, &store, err);
    if (rc == 0)
        rc = fill(flags, store, &needs, mode, set, err);
    collateral_progress_clear(flags);
    collateral_close(store);
    collateral_flags_done(flags);
    return rc;
}
