/* SPDX-License-Identifier: Apache-2.0 */
/* Who may look into whom (ptrace(2), "Ptrace access mode checking"). Trusted. */
#include "tee/libos/task/inspect.h"

#include <linux/capability.h>

bool process_may_inspect(const struct process *p)
{
    const struct cred *me = process_cred(), *other = __atomic_load_n(&p->cred, __ATOMIC_ACQUIRE);

    if (p == process_current())
        return true;
    if (!other)
        return false;
    if (me->cap_effective & (1ull << CAP_SYS_PTRACE))
        return true;
    return me->fsuid == other->ruid && me->fsuid == other->euid && me->fsuid == other->suid &&
           me->fsgid == other->rgid && me->fsgid == other->egid && me->fsgid == other->sgid &&
           p->dumpable == 1 && !(other->cap_permitted & ~me->cap_effective);
}
