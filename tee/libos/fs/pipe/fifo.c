/* SPDX-License-Identifier: Apache-2.0 */
/* Named pipes: fifo(7). The pipe of an inode exists while somebody has it open. Trusted. */
#include <asm/errno.h>
#include <linux/fcntl.h>

#include "tee/libos/fs/pipe/pipe_private.h"

/* Guards inode->fifo of every inode, with `files` of those pipes. */
static struct mutex g_fifo;

bool fifo_forget(struct pipe *p)
{
    bool last;

    mutex_lock(&g_fifo);
    last = __atomic_sub_fetch(&p->files, 1, __ATOMIC_ACQ_REL) == 0;
    if (last)
        p->inode->fifo = NULL;
    mutex_unlock(&g_fifo);
    return last;
}

static int enter(struct inode *inode, uint32_t flags, struct pipe **ret)
{
    int rc = 0;

    mutex_lock(&g_fifo);
    if (!inode->fifo) {
        struct pipe *p;

        rc = pipe_new(&p);
        if (rc == 0) {
            p->inode = inode;
            inode->fifo = p;
        }
    }
    if (rc == 0) {
        *ret = inode->fifo;
        pipe_enter(*ret, flags);
    }
    mutex_unlock(&g_fifo);
    return rc;
}

/* Waits until the other side has been opened at least once since now. */
static int wait_peer(struct pipe *p, const uint32_t *open_now, const uint32_t *opens)
{
    uint32_t before = __atomic_load_n(opens, __ATOMIC_ACQUIRE);
    int rc;

    WAIT_UNTIL(rc, &p->open_wait,
               __atomic_load_n(open_now, __ATOMIC_ACQUIRE) ||
                   __atomic_load_n(opens, __ATOMIC_ACQUIRE) != before,
               WAIT_FOREVER);
    return rc;
}

int fifo_open(struct inode *inode, struct file *f)
{
    uint32_t access = f->flags & O_ACCMODE;
    struct pipe *p = NULL;
    int rc = enter(inode, f->flags, &p);

    if (rc < 0)
        return rc;
    if (access != O_WRONLY)
        __atomic_fetch_add(&p->reader_opens, 1, __ATOMIC_ACQ_REL);
    if (access == O_WRONLY && f->flags & O_NONBLOCK &&
        !__atomic_load_n(&p->readers, __ATOMIC_ACQUIRE)) {
        pipe_leave(p, f->flags);
        return -ENXIO;
    }
    if (access != O_RDONLY)
        __atomic_fetch_add(&p->writer_opens, 1, __ATOMIC_ACQ_REL);
    wait_wake(&p->open_wait, WAKE_ALL, 0);
    if (access == O_RDONLY && !(f->flags & O_NONBLOCK))
        rc = wait_peer(p, &p->writers, &p->writer_opens);
    else if (access == O_WRONLY)
        rc = wait_peer(p, &p->readers, &p->reader_opens);
    if (rc < 0) {
        pipe_leave(p, f->flags);
        return rc;
    }
    f->ops = &g_pipe_ops;
    f->private_data = p;
    return 0;
}
