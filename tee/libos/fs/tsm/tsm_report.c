/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of configfs-tsm: options, generations, and the quote that belongs to them. Trusted; see tsm.h. */
#include "tee/libos/fs/tsm/tsm.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/sgx.h"
#include "tee/enclave/string.h"

#include <linux/errno.h>

#define PROVIDER "cloche_sgx\n"
#define COLLATERAL_PIECE (64u * 1024)

struct tsm_report {
    uint32_t refs; /* atomic */
    uint64_t number;
    struct mutex lock; /* all below */
    bool removed;
    uint8_t inblob[EVIDENCE_REPORT_DATA_SIZE];
    size_t inblob_size;         /* 0: nothing was written yet */
    uint64_t write_generation;  /* of the options */
    uint64_t read_generation;   /* of the quote */
    uint8_t *outblob, *auxblob; /* owned; NULL: there is none */
    size_t outblob_size, auxblob_size;
    bool has_auxblob; /* asked for, though it may be empty */
    size_t name_size;
    char name[]; /* NUL-ended; never changes */
};

static struct mutex g_lock; /* the list; taken with no entry's lock held */
static struct tsm_report *g_reports[TSM_REPORT_COUNT_MAX];
static uint64_t g_next_number = 1;

/* ---- the list ---- */

void tsm_report_ref(struct tsm_report *r)
{
    __atomic_fetch_add(&r->refs, 1, __ATOMIC_RELAXED);
}

static void blobs_free(struct tsm_report *r)
{
    mem_free(r->outblob);
    mem_free(r->auxblob);
    r->outblob = r->auxblob = NULL;
    r->outblob_size = r->auxblob_size = 0;
    r->has_auxblob = false;
}

void tsm_report_unref(struct tsm_report *r)
{
    if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    blobs_free(r);
    mem_free(r);
}

uint64_t tsm_report_number(const struct tsm_report *r)
{
    return r->number;
}

const char *tsm_report_name(const struct tsm_report *r)
{
    return r->name;
}

static struct tsm_report **find_locked(const char *name, size_t size)
{
    for (unsigned i = 0; i < TSM_REPORT_COUNT_MAX; i++) {
        struct tsm_report *r = g_reports[i];

        if (r && r->name_size == size && memcmp(r->name, name, size) == 0)
            return &g_reports[i];
    }
    return NULL;
}

static struct tsm_report **free_place_locked(void)
{
    for (unsigned i = 0; i < TSM_REPORT_COUNT_MAX; i++)
        if (!g_reports[i])
            return &g_reports[i];
    return NULL;
}

int tsm_report_add(const char *name, size_t name_size, struct tsm_report **ret)
{
    struct tsm_report *r = mem_zalloc(sizeof *r + name_size + 1), **place;
    int rc = 0;

    if (!r)
        return -ENOMEM;
    r->refs = 2; /* the list's, the caller's */
    r->name_size = name_size;
    memcpy(r->name, name, name_size);
    mutex_lock(&g_lock);
    place = free_place_locked();
    if (find_locked(name, name_size))
        rc = -EEXIST;
    else if (!place)
        rc = -ENOSPC;
    if (rc == 0) {
        r->number = g_next_number++;
        *place = r;
    }
    mutex_unlock(&g_lock);
    if (rc < 0) {
        mem_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

struct tsm_report *tsm_report_find(const char *name, size_t name_size)
{
    struct tsm_report **place, *r = NULL;

    mutex_lock(&g_lock);
    place = find_locked(name, name_size);
    if (place) {
        r = *place;
        tsm_report_ref(r);
    }
    mutex_unlock(&g_lock);
    return r;
}

struct tsm_report *tsm_report_next(uint64_t from)
{
    struct tsm_report *best = NULL;

    mutex_lock(&g_lock);
    for (unsigned i = 0; i < TSM_REPORT_COUNT_MAX; i++) {
        struct tsm_report *r = g_reports[i];

        if (r && r->number >= from && (!best || r->number < best->number))
            best = r;
    }
    if (best)
        tsm_report_ref(best);
    mutex_unlock(&g_lock);
    return best;
}

void tsm_report_remove(struct tsm_report *r)
{
    bool listed = false;

    mutex_lock(&g_lock);
    for (unsigned i = 0; i < TSM_REPORT_COUNT_MAX; i++)
        if (g_reports[i] == r) {
            g_reports[i] = NULL;
            listed = true;
        }
    mutex_unlock(&g_lock);
    mutex_lock(&r->lock);
    r->removed = true;
    mutex_unlock(&r->lock);
    if (listed)
        tsm_report_unref(r);
}

/* ---- the quote; with r->lock held ---- */

/* What a quoting service's error is for who reads the evidence: no provider, or one that does not answer now. */
static int error_of(int64_t rc)
{
    return rc == -ENODEV ? -ENXIO : rc == -EAGAIN ? -EBUSY : (int)rc;
}

static int quote_make(struct tsm_report *r, uint8_t *dst, size_t *ret_size)
{
    struct evidence_quote_request request = { 0 };
    struct evidence_target target;
    int64_t size;
    int rc = ocall_quote_target(&target);

    if (rc < 0)
        return error_of(rc);
    if (sgx_report_create(&target.targetinfo, r->inblob, &request.report) < 0)
        return -EIO; /* the host named a target that this CPU does not take */
    request.att_key_id = target.att_key_id;
    size = ocall_quote(&request, dst);
    if (size < 0)
        return error_of(size);
    *ret_size = (size_t)size;
    return 0;
}

/* The quote of the present options. */
static int outblob_make(struct tsm_report *r)
{
    uint8_t *quote, *smaller;
    size_t size;
    int rc;

    if (r->inblob_size == 0)
        return -EINVAL;
    if (r->outblob && r->read_generation == r->write_generation)
        return 0;
    blobs_free(r);
    /* As Linux's own providers: a report holds 64 bytes, none is made up. */
    if (r->inblob_size != sizeof r->inblob)
        return -EINVAL;
    quote = mem_alloc(EVIDENCE_QUOTE_SIZE_MAX);
    if (!quote)
        return -ENOMEM;
    rc = quote_make(r, quote, &size);
    if (rc < 0) {
        mem_free(quote);
        return rc;
    }
    smaller = mem_realloc(quote, size);
    r->outblob = smaller ? smaller : quote;
    r->outblob_size = size;
    r->read_generation = r->write_generation;
    return 0;
}

/* The next piece of the collateral. The host may not give crumbs, nor change its mind about the size of all.
 * returns: bytes, 0 at the end. */
static int64_t auxblob_grow(struct tsm_report *r, uint32_t *total)
{
    size_t room = MIN((size_t)COLLATERAL_PIECE, EVIDENCE_COLLATERAL_SIZE_MAX - r->auxblob_size);
    uint8_t *bytes;
    uint32_t now = 0;
    int64_t rc;

    if (room == 0 || (r->auxblob_size > 0 && r->auxblob_size == *total))
        return 0;
    bytes = mem_realloc(r->auxblob, r->auxblob_size + room);
    if (!bytes)
        return -ENOMEM;
    r->auxblob = bytes;
    rc = ocall_quote_collateral(r->outblob, r->outblob_size, r->auxblob_size,
                                bytes + r->auxblob_size, room, &now);
    if (rc < 0)
        return rc;
    if ((r->auxblob_size > 0 && now != *total) ||
        (uint64_t)rc != MIN(room, (size_t)now - r->auxblob_size))
        return -EIO;
    r->auxblob_size += (size_t)rc;
    *total = now;
    return rc;
}

/* The collateral that the host has for the quote's platform; empty when it has none. */
static int auxblob_make(struct tsm_report *r)
{
    uint32_t total = 0;
    int64_t rc;
    int made = outblob_make(r);

    if (made < 0 || r->has_auxblob)
        return made;
    do
        rc = auxblob_grow(r, &total);
    while (rc > 0);
    if (r->auxblob_size == 0 || rc < 0) {
        mem_free(r->auxblob);
        r->auxblob = NULL;
        r->auxblob_size = 0;
    }
    /* There is a quote, so a service: ENODEV says that it knows nothing of collateral. */
    r->has_auxblob = rc == 0 || rc == -ENODATA || rc == -ENODEV;
    return r->has_auxblob ? 0 : error_of(rc);
}

/* ---- attributes ---- */

static int copy_out(const void *bytes, size_t size, void **ret, size_t *ret_size)
{
    void *copy = size > 0 ? mem_alloc(size) : NULL;

    if (size > 0 && !copy)
        return -ENOMEM;
    if (size > 0)
        memcpy(copy, bytes, size);
    *ret = copy;
    *ret_size = size;
    return 0;
}

static int get_locked(struct tsm_report *r, enum tsm_attribute which, void **ret, size_t *ret_size)
{
    char text[24];
    int rc;

    switch (which) {
    case TSM_OUTBLOB:
        rc = outblob_make(r);
        return rc < 0 ? rc : copy_out(r->outblob, r->outblob_size, ret, ret_size);
    case TSM_AUXBLOB:
        rc = auxblob_make(r);
        return rc < 0 ? rc : copy_out(r->auxblob, r->auxblob_size, ret, ret_size);
    case TSM_PROVIDER:
        return copy_out(PROVIDER, sizeof PROVIDER - 1, ret, ret_size);
    case TSM_GENERATION:
        rc = format(text, sizeof text, "%lu\n", r->write_generation);
        return copy_out(text, (size_t)rc, ret, ret_size);
    case TSM_PRIVLEVEL_FLOOR:
        return copy_out("0\n", 2, ret, ret_size);
    default:
        return -EACCES;
    }
}

int tsm_report_get(struct tsm_report *r, enum tsm_attribute which, void **ret, size_t *ret_size)
{
    int rc;

    mutex_lock(&r->lock);
    rc = r->removed ? -ENOENT : get_locked(r, which, ret, ret_size);
    mutex_unlock(&r->lock);
    return rc;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* A number as Linux reads it in attributes: decimal, 0x or 0, perhaps with a '+' and a newline. */
static int number_parse(const char *text, size_t size, uint32_t *ret)
{
    uint64_t value = 0;
    unsigned base = 10, digit;
    size_t at = 0;

    if (size > 0 && text[size - 1] == '\n')
        size--;
    if (at < size && text[at] == '+')
        at++;
    if (size - at > 2 && text[at] == '0' && (text[at + 1] | 0x20) == 'x') {
        base = 16;
        at += 2;
    } else if (size - at > 1 && text[at] == '0') {
        base = 8;
        at++;
    }
    if (at == size)
        return -EINVAL;
    for (; at < size; at++) {
        digit = (unsigned)digit_of(text[at]);
        if (digit >= base)
            return -EINVAL;
        value = MIN(value * base + digit, (uint64_t)UINT32_MAX + 1);
    }
    if (value > UINT32_MAX)
        return -ERANGE;
    *ret = (uint32_t)value;
    return 0;
}

/* Refuses to go round: a reader could not tell old from new. */
static int generation_advance(struct tsm_report *r)
{
    if (r->write_generation == r->read_generation - 1)
        return -EBUSY;
    r->write_generation++;
    return 0;
}

static int set_locked(struct tsm_report *r, enum tsm_attribute which, const void *value,
                      size_t size)
{
    uint32_t level;
    int rc;

    if (r->removed)
        return -ENOENT;
    if (which == TSM_PRIVLEVEL) {
        rc = number_parse(value, size, &level);
        if (rc == 0 && level > TSM_PRIVLEVEL_MAX)
            rc = -EINVAL;
        return rc < 0 ? rc : generation_advance(r);
    }
    if (which != TSM_INBLOB || size > sizeof r->inblob)
        return -EINVAL;
    rc = generation_advance(r);
    if (rc < 0)
        return rc;
    memset(r->inblob, 0, sizeof r->inblob);
    memcpy(r->inblob, value, size);
    r->inblob_size = size;
    return 0;
}

int tsm_report_set(struct tsm_report *r, enum tsm_attribute which, const void *value, size_t size)
{
    int rc;

    mutex_lock(&r->lock);
    rc = set_locked(r, which, value, size);
    mutex_unlock(&r->lock);
    return rc;
}
