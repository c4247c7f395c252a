/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configfs-tsm: entries of /sys/kernel/config/tsm/report and their attributes (Linux,
 * Documentation/ABI/testing/configfs-tsm). Programs are the callers and may be hostile; what the host answers is untrusted
 * and handed on as it is. Trusted.
 */
#pragma once

#include "abi/evidence.h"
#include "tee/libos/fs/vfs/vfs.h"

#define TSM_REPORT_COUNT_MAX 64u
#define TSM_PRIVLEVEL_MAX 0u /* an enclave has one level */

struct tsm_report;

/* The attributes of an entry, in the order in which they are listed. */
enum tsm_attribute {
    TSM_AUXBLOB,
    TSM_GENERATION,
    TSM_INBLOB,
    TSM_OUTBLOB,
    TSM_PRIVLEVEL,
    TSM_PRIVLEVEL_FLOOR,
    TSM_PROVIDER,
    TSM_ATTRIBUTE_COUNT,
};

struct tsm_attribute_info {
    const char *name;
    uint32_t mode;
};
extern const struct tsm_attribute_info tsm_attributes[TSM_ATTRIBUTE_COUNT];

/* ---- tsm_report.c: entries ---- */

/* returns: 0; -EEXIST; -ENOSPC TSM_REPORT_COUNT_MAX are there; -ENOMEM. */
MUST_CHECK int tsm_report_add(const char *name, size_t name_size, struct tsm_report **ret);
/* A reference to the entry of that name; NULL: absent. */
struct tsm_report *tsm_report_find(const char *name, size_t name_size);
/* Takes the entry's name away; open attributes give -ENOENT from then on. */
void tsm_report_remove(struct tsm_report *r);
/* The entry with the lowest number from `from` on, referenced; NULL: none. */
struct tsm_report *tsm_report_next(uint64_t from);
void tsm_report_ref(struct tsm_report *r);
void tsm_report_unref(struct tsm_report *r); /* NULL too */
/* Never changes, never comes again; begins at 1. */
uint64_t tsm_report_number(const struct tsm_report *r);
const char *tsm_report_name(const struct tsm_report *r);

/*
 * What an attribute holds now, in a buffer that the caller frees (NULL when it is empty). The blobs are made when they are not
 * those of the present options.
 * returns: 0; -ENOENT the entry is gone; -EINVAL no inblob of 64 bytes yet; -ENXIO no quoting service; -EBUSY it is
 *          busy; -ETIMEDOUT; -EIO; -ENOMEM.
 */
MUST_CHECK int tsm_report_get(struct tsm_report *r, enum tsm_attribute which, void **ret,
                              size_t *ret_size);
/* inblob or privlevel. returns: 0; -EINVAL, -ERANGE the value; -ENOENT; -EBUSY. */
MUST_CHECK int tsm_report_set(struct tsm_report *r, enum tsm_attribute which, const void *value,
                              size_t size);

/* ---- tsm_file.c: open attributes ---- */

/* Fills f, which gets a reference. returns: 0; -EACCES the attribute cannot be read, or written; -ENOMEM. */
MUST_CHECK int tsm_file_open(struct tsm_report *r, enum tsm_attribute which, struct file *f);

/* ---- tsm.c ---- */

/* configfs with its one subsystem. Once. */
MUST_CHECK int configfs_new(struct super **ret);
