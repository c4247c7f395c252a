/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open attributes, as configfs has them: what is read is fetched once an open file; each write of a text is a value, what was written
 * to a binary one becomes its value when the file is closed for good. Trusted; see tsm.h.
 */
#include "tee/libos/fs/tsm/tsm.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/mode.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#define TEXT_SIZE_MAX 4095u

struct content {
    struct tsm_report *report;
    enum tsm_attribute which;
    struct mutex lock; /* all below */
    bool is_fetched, is_written;
    uint8_t *bytes; /* what was fetched; owned */
    size_t size;    /* of bytes, or of what was written to value */
    uint8_t value[EVIDENCE_REPORT_DATA_SIZE];
};

static int fetch_locked(struct content *c)
{
    void *bytes = NULL;
    size_t size = 0;
    int rc;

    if (c->is_fetched)
        return 0;
    rc = tsm_report_get(c->report, c->which, &bytes, &size);
    if (rc < 0)
        return rc;
    c->bytes = bytes;
    c->size = size;
    c->is_fetched = true;
    return 0;
}

static int64_t attribute_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct content *c = f->private_data;
    int64_t rc;

    mutex_lock(&c->lock);
    rc = fetch_locked(c);
    mutex_unlock(&c->lock);
    /* Nothing changes what was fetched. */
    if (rc < 0 || *pos >= c->size)
        return rc;
    rc = uio_put(u, c->bytes + *pos, MIN(u->left, c->size - *pos));
    if (rc > 0)
        *pos += (uint64_t)rc;
    return rc;
}

static int64_t text_write(struct content *c, struct uio *u, uint64_t *pos)
{
    char value[64];
    int64_t size;
    int rc;

    if (u->left > TEXT_SIZE_MAX)
        u->left = TEXT_SIZE_MAX;
    if (u->left > sizeof value)
        return -EINVAL; /* no number is that long */
    size = uio_get(u, value, u->left);
    if (size < 0)
        return size;
    rc = tsm_report_set(c->report, c->which, value, (size_t)size);
    if (rc < 0)
        return rc;
    *pos += (uint64_t)size;
    return size;
}

static int64_t blob_write(struct content *c, struct uio *u, uint64_t *pos)
{
    uint8_t bytes[EVIDENCE_REPORT_DATA_SIZE];
    int64_t size;

    if (*pos > sizeof bytes || u->left > sizeof bytes - *pos)
        return -EFBIG;
    size = uio_get(u, bytes, u->left);
    if (size < 0)
        return size;
    mutex_lock(&c->lock);
    memcpy(c->value + *pos, bytes, (size_t)size);
    c->size = MAX(c->size, (size_t)*pos + (size_t)size);
    c->is_written = true;
    mutex_unlock(&c->lock);
    *pos += (uint64_t)size;
    return size;
}

static int64_t attribute_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct content *c = f->private_data;

    return c->which == TSM_INBLOB ? blob_write(c, u, pos) : text_write(c, u, pos);
}

static int64_t attribute_seek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (off < 0)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

static int attribute_truncate(struct file *f UNUSED, uint64_t size UNUSED)
{
    return 0;
}

static void attribute_release(struct file *f)
{
    struct content *c = f->private_data;

    /* There is nobody to tell: who writes looks at the generation. */
    if (c->is_written)
        (void)!tsm_report_set(c->report, c->which, c->value, c->size);
    tsm_report_unref(c->report);
    mem_free(c->bytes);
    mem_free(c);
}

static const struct file_ops g_attribute_ops = {
    .read = attribute_read,
    .write = attribute_write,
    .seek = attribute_seek,
    .truncate = attribute_truncate,
    .release = attribute_release,
};

int tsm_file_open(struct tsm_report *r, enum tsm_attribute which, struct file *f)
{
    uint32_t access = f->flags & O_ACCMODE, mode = tsm_attributes[which].mode;
    struct content *c;

    if ((access != O_WRONLY && !(mode & 0444)) || (access != O_RDONLY && !(mode & 0222)))
        return -EACCES;
    c = mem_zalloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    tsm_report_ref(r);
    c->report = r;
    c->which = which;
    f->ops = &g_attribute_ops;
    f->private_data = c;
    return 0;
}
