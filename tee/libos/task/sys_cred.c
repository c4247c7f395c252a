/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials: user and group ids, groups, capabilities. Trusted. They order a program's own house;
 * processes of one enclave are one trust domain (DESIGN section 5).
 */
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/capability.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

#define ID_KEEP UINT32_MAX
#define CAP_ALL ((1ull << (CAP_LAST_CAP + 1)) - 1)

const struct cred *process_cred(void)
{
    return __atomic_load_n(&process_current()->cred, __ATOMIC_ACQUIRE);
}

bool cred_has_group(const struct cred *c, uint32_t gid)
{
    if (c->fsgid == gid)
        return true;
    for (uint32_t i = 0; i < c->group_count; i++)
        if (c->groups[i] == gid)
            return true;
    return false;
}

static bool is_equal(const struct cred *a, const struct cred *b)
{
    return a->ruid == b->ruid && a->euid == b->euid && a->suid == b->suid && a->fsuid == b->fsuid &&
           a->rgid == b->rgid && a->egid == b->egid && a->sgid == b->sgid && a->fsgid == b->fsgid &&
           a->cap_effective == b->cap_effective && a->cap_permitted == b->cap_permitted &&
           a->cap_inheritable == b->cap_inheritable && a->group_count == b->group_count &&
           memcmp(a->groups, b->groups, a->group_count * sizeof a->groups[0]) == 0;
}

int process_set_cred(struct process *p, const struct cred *c)
{
    struct cred *new = NULL;

    mutex_lock(&p->lock);
    for (struct cred *used = p->creds; used && !new; used = used->next_used)
        if (is_equal(used, c))
            new = used;
    if (!new) {
        new = mem_alloc(sizeof *new);
        if (new) {
            *new = *c;
            new->refs = 1;
            new->next_used = p->creds;
            p->creds = new;
        }
    }
    if (new)
        __atomic_store_n(&p->cred, new, __ATOMIC_RELEASE);
    mutex_unlock(&p->lock);
    return new ? 0 : -ENOMEM;
}

static bool is_capable(const struct cred *c, unsigned capability)
{
    return c->cap_effective & (1ull << capability);
}

/* Capabilities follow the user ids, capabilities(7). */
static void follow_uids(struct cred *new, const struct cred *old)
{
    bool had_root = !old->ruid || !old->euid || !old->suid;
    bool has_root = !new->ruid || !new->euid || !new->suid;

    if (had_root && !has_root) {
        new->cap_effective = 0;
        if (!process_current()->keep_caps)
            new->cap_permitted = 0;
    }
    if (old->euid == 0 && new->euid != 0)
        new->cap_effective = 0;
    if (old->euid != 0 && new->euid == 0)
        new->cap_effective = new->cap_permitted;
    new->fsuid = new->euid;
}

void cred_exec(struct process *p)
{
    struct cred new = *p->cred;

    p->keep_caps = false;
    if (new.ruid == 0 || new.euid == 0 || !(new.cap_permitted | new.cap_effective))
        return;
    new.cap_permitted = new.cap_effective = 0; /* files give none here */
    if (process_set_cred(p, &new) < 0)
        process_exit(SIGKILL); /* never go on with more than is due */
}

static int64_t set_uids(uint32_t ruid, uint32_t euid, uint32_t suid)
{
    const struct cred *old = process_cred();
    struct cred new = *old;

    if (ruid != ID_KEEP)
        new.ruid = ruid;
    if (euid != ID_KEEP)
        new.euid = euid;
    if (suid != ID_KEEP)
        new.suid = suid;
    follow_uids(&new, old);
    return process_set_cred(process_current(), &new);
}

static int64_t set_gids(uint32_t rgid, uint32_t egid, uint32_t sgid)
{
    struct cred new = *process_cred();

    if (rgid != ID_KEEP)
        new.rgid = rgid;
    if (egid != ID_KEEP)
        new.egid = egid;
    if (sgid != ID_KEEP)
        new.sgid = sgid;
    new.fsgid = new.egid;
    return process_set_cred(process_current(), &new);
}

/* ---- reading ---- */

SYSCALL_DEFINE(getuid)
{
    return process_cred()->ruid;
}

SYSCALL_DEFINE(geteuid)
{
    return process_cred()->euid;
}

SYSCALL_DEFINE(getgid)
{
    return process_cred()->rgid;
}

SYSCALL_DEFINE(getegid)
{
    return process_cred()->egid;
}

static int64_t put_three(uintptr_t a, uint32_t x, uintptr_t b, uint32_t y, uintptr_t c, uint32_t z)
{
    return USER_PUT(a, &x) < 0 || USER_PUT(b, &y) < 0 || USER_PUT(c, &z) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(getresuid)
{
    const struct cred *me = process_cred();

    return put_three(a, me->ruid, b, me->euid, c, me->suid);
}

SYSCALL_DEFINE(getresgid)
{
    const struct cred *me = process_cred();

    return put_three(a, me->rgid, b, me->egid, c, me->sgid);
}

SYSCALL_DEFINE(getgroups)
{
    const struct cred *me = process_cred();

    if ((int32_t)a < 0)
        return -EINVAL;
    if (a == 0)
        return me->group_count;
    if ((uint32_t)a < me->group_count)
        return -EINVAL;
    if (user_copy_out(b, me->groups, me->group_count * sizeof me->groups[0]) < 0)
        return -EFAULT;
    return me->group_count;
}

/* ---- changing ---- */

/* An id that an unprivileged process may take on. */
static bool is_one_of(uint32_t id, uint32_t x, uint32_t y, uint32_t z)
{
    return id == ID_KEEP || id == x || id == y || id == z;
}

SYSCALL_DEFINE(setuid)
{
    const struct cred *me = process_cred();
    uint32_t uid = (uint32_t)a;

    if (uid == ID_KEEP)
        return -EINVAL;
    if (is_capable(me, CAP_SETUID))
        return set_uids(uid, uid, uid);
    if (uid != me->ruid && uid != me->suid)
        return -EPERM;
    return set_uids(ID_KEEP, uid, ID_KEEP);
}

SYSCALL_DEFINE(setgid)
{
    const struct cred *me = process_cred();
    uint32_t gid = (uint32_t)a;

    if (gid == ID_KEEP)
        return -EINVAL;
    if (is_capable(me, CAP_SETGID))
        return set_gids(gid, gid, gid);
    if (gid != me->rgid && gid != me->sgid)
        return -EPERM;
    return set_gids(ID_KEEP, gid, ID_KEEP);
}

SYSCALL_DEFINE(setreuid)
{
    const struct cred *me = process_cred();
    uint32_t ruid = (uint32_t)a, euid = (uint32_t)b, suid = ID_KEEP;

    if (!is_capable(me, CAP_SETUID) && (!is_one_of(ruid, me->ruid, me->euid, me->euid) ||
                                        !is_one_of(euid, me->ruid, me->euid, me->suid)))
        return -EPERM;
    if (ruid != ID_KEEP || (euid != ID_KEEP && euid != me->ruid))
        suid = euid != ID_KEEP ? euid : me->euid;
    return set_uids(ruid, euid, suid);
}

SYSCALL_DEFINE(setregid)
{
    const struct cred *me = process_cred();
    uint32_t rgid = (uint32_t)a, egid = (uint32_t)b, sgid = ID_KEEP;

    if (!is_capable(me, CAP_SETGID) && (!is_one_of(rgid, me->rgid, me->egid, me->egid) ||
                                        !is_one_of(egid, me->rgid, me->egid, me->sgid)))
        return -EPERM;
    if (rgid != ID_KEEP || (egid != ID_KEEP && egid != me->rgid))
        sgid = egid != ID_KEEP ? egid : me->egid;
    return set_gids(rgid, egid, sgid);
}

SYSCALL_DEFINE(setresuid)
{
    const struct cred *me = process_cred();
    uint32_t ids[3] = { (uint32_t)a, (uint32_t)b, (uint32_t)c };

    for (unsigned i = 0; i < 3 && !is_capable(me, CAP_SETUID); i++)
        if (!is_one_of(ids[i], me->ruid, me->euid, me->suid))
            return -EPERM;
    return set_uids(ids[0], ids[1], ids[2]);
}

SYSCALL_DEFINE(setresgid)
{
    const struct cred *me = process_cred();
    uint32_t ids[3] = { (uint32_t)a, (uint32_t)b, (uint32_t)c };

    for (unsigned i = 0; i < 3 && !is_capable(me, CAP_SETGID); i++)
        if (!is_one_of(ids[i], me->rgid, me->egid, me->sgid))
            return -EPERM;
    return set_gids(ids[0], ids[1], ids[2]);
}

SYSCALL_DEFINE(setfsuid)
{
    struct cred new = *process_cred();
    uint32_t old = new.fsuid, uid = (uint32_t)a;

    if (uid != ID_KEEP && (is_capable(&new, CAP_SETUID) ||
                           is_one_of(uid, new.ruid, new.euid, new.suid) || uid == old)) {
        new.fsuid = uid;
        if (process_set_cred(process_current(), &new) < 0)
            return old;
    }
    return old;
}

SYSCALL_DEFINE(setfsgid)
{
    struct cred new = *process_cred();
    uint32_t old = new.fsgid, gid = (uint32_t)a;

    if (gid != ID_KEEP && (is_capable(&new, CAP_SETGID) ||
                           is_one_of(gid, new.rgid, new.egid, new.sgid) || gid == old)) {
        new.fsgid = gid;
        if (process_set_cred(process_current(), &new) < 0)
            return old;
    }
    return old;
}

SYSCALL_DEFINE(setgroups)
{
    struct cred new = *process_cred();

    if (!is_capable(&new, CAP_SETGID))
        return -EPERM;
    if (a > GROUPS_MAX)
        return -EINVAL;
    if (user_copy_in(new.groups, b, a * sizeof new.groups[0]) < 0)
        return -EFAULT;
    new.group_count = (uint32_t)a;
    return process_set_cred(process_current(), &new);
}

/* ---- capabilities ---- */

/* Reads and checks the header; answers an unknown version as Linux does. returns: 2 words to move; 0: the version was
 * only asked for; else an error. */
static int read_header(uintptr_t addr, bool has_data, struct __user_cap_header_struct *ret)
{
    uint32_t version = _LINUX_CAPABILITY_VERSION_3;

    if (USER_GET(ret, addr) < 0)
        return -EFAULT;
    if (ret->version == _LINUX_CAPABILITY_VERSION_3 || ret->version == _LINUX_CAPABILITY_VERSION_2)
        return 2;
    if (ret->version == _LINUX_CAPABILITY_VERSION_1)
        return 1;
    if (user_copy_out(addr, &version, sizeof version) < 0)
        return -EFAULT;
    return has_data ? -EINVAL : 0;
}

SYSCALL_DEFINE(capget)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
    const struct cred *who = process_cred();
    int words = read_header(a, b != 0, &header);

    if (words <= 0)
        return words;
    if (header.pid < 0)
        return -EINVAL;
    if (header.pid) {
        struct thread *t = thread_find(header.pid);
        bool is_own = t && t->process == process_current();

        thread_unref(t);
        if (!is_own)
            return t ? -EPERM : -ESRCH;
    }
    for (int i = 0; i < words; i++)
        data[i] = (struct __user_cap_data_struct){
            .effective = (uint32_t)(who->cap_effective >> 32 * i),
            .permitted = (uint32_t)(who->cap_permitted >> 32 * i),
            .inheritable = (uint32_t)(who->cap_inheritable >> 32 * i),
        };
    return b && user_copy_out(b, data, (size_t)words * sizeof data[0]) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(capset)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2] = { 0 };
    struct cred new = *process_cred();
    uint64_t effective, permitted, inheritable;
    int words = read_header(a, true, &header);

    if (words <= 0)
        return words;
    if (header.pid && header.pid != current()->tid && header.pid != process_current()->pid)
        return -EPERM;
    if (user_copy_in(data, b, (size_t)words * sizeof data[0]) < 0)
        return -EFAULT;
    effective = (data[0].effective | (uint64_t)data[1].effective << 32) & CAP_ALL;
    permitted = (data[0].permitted | (uint64_t)data[1].permitted << 32) & CAP_ALL;
    inheritable = (data[0].inheritable | (uint64_t)data[1].inheritable << 32) & CAP_ALL;
    if ((permitted & ~new.cap_permitted) || (effective & ~permitted) ||
        (inheritable & ~(new.cap_inheritable | new.cap_permitted)))
        return -EPERM;
    new.cap_effective = effective;
    new.cap_permitted = permitted;
    new.cap_inheritable = inheritable;
    return process_set_cred(process_current(), &new);
}

SYSCALL_DEFINE(umask)
{
    return __atomic_exchange_n(&process_current()->umask, (uint32_t)a & 0777, __ATOMIC_RELAXED);
}
