/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/cloche: reports by EREPORT, their verification, sealing keys by EGETKEY, and the agent's word on the time, as abi/evidence.h and
 * docs/evidence.md describe them. Requests come from programs and may be hostile. Trusted.
 */
#include <linux/errno.h>

#include "abi/evidence.h"
#include "lib/ct.h"
#include "tee/enclave/cmac.h"
#include "tee/enclave/sgx.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/dev/dev.h"
#include "tee/libos/task/clock_set.h"
#include "tee/libos/task/task.h"

/*
 * Which attributes a sealing key depends on: DEBUG, always (an enclave that can be looked into has other keys); not
 * XFRM, so that a key survives a change of what the operating system lets programs use. MISCSELECT: what is reserved.
 */
#define SEAL_ATTRIBUTES_MASK 0xff0000000000000bull
#define SEAL_MISC_MASK 0xf0000000u

static int64_t ioctl_targetinfo(uintptr_t arg)
{
    struct sgx_targetinfo target;
    int rc = sgx_targetinfo_get(&target);

    return rc < 0 ? -EIO : USER_PUT(arg, &target);
}

static int64_t ioctl_report(uintptr_t arg)
{
    struct evidence_report_request request;
    int rc = USER_GET(&request, arg);

    if (rc == 0)
        rc = sgx_report_create(&request.targetinfo, request.report_data, &request.report);
    if (rc < 0)
        return rc;
    return user_copy_out(arg + offsetof(struct evidence_report_request, report), &request.report,
                         sizeof request.report);
}

static int64_t ioctl_report_verify(uintptr_t arg)
{
    struct sgx_report report;
    int rc = USER_GET(&report, arg);

    return rc < 0 ? rc : sgx_report_verify(&report);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* A program's request; any bit may be hostile. */
static int key_decode(uintptr_t arg, struct evidence_key_request *ret)
{
    struct evidence_key_request r;
    int rc = USER_GET(&r, arg);

    if (rc < 0)
        return rc;
    if ((r.policy != EVIDENCE_KEY_MRENCLAVE && r.policy != EVIDENCE_KEY_MRSIGNER) ||
        (r.flags & ~(EVIDENCE_KEY_ISV_SVN | EVIDENCE_KEY_CPU_SVN)) || r.reserved ||
        r.label_size == 0 || r.label_size > sizeof r.label ||
        !is_zero(r.label + r.label_size, sizeof r.label - r.label_size))
        return -EINVAL;
    *ret = r;
    return 0;
}

/* The enclave's own SVN and the CPU's, where the program gave none. */
static int svn_fill(struct evidence_key_request *r)
{
    static const struct sgx_targetinfo nobody;
    static const uint8_t no_data[EVIDENCE_REPORT_DATA_SIZE];
    struct sgx_report report;

    if (sgx_report_create(&nobody, no_data, &report) < 0)
        return -EIO;
    if (!(r->flags & EVIDENCE_KEY_ISV_SVN))
        r->isv_svn = report.body.isv_svn;
    if (!(r->flags & EVIDENCE_KEY_CPU_SVN))
        memcpy(r->cpu_svn, report.body.cpu_svn, sizeof r->cpu_svn);
    return 0;
}

/* SDM vol. 3D, section 38.4, EGETKEY: refuses SVNs newer than the enclave's and the CPU's. */
static int key_perform(struct evidence_key_request *r)
{
    struct sgx_keyrequest request = {
        .key_name = SGX_KEY_SEAL,
        .key_policy =
            r->policy == EVIDENCE_KEY_MRSIGNER ? SGX_KEYPOLICY_MRSIGNER : SGX_KEYPOLICY_MRENCLAVE,
        .isv_svn = r->isv_svn,
        .attribute_mask = { SEAL_ATTRIBUTES_MASK, 0 },
        .misc_mask = SEAL_MISC_MASK,
    };
    uint8_t key[16];
    int rc;

    memcpy(request.cpu_svn, r->cpu_svn, sizeof request.cpu_svn);
    memcpy(request.key_id, r->key_id, sizeof request.key_id);
    rc = sgx_key_get(&request, key);
    if (rc < 0)
        return rc;
    cmac_derive_256(key, r->label, r->label_size, r->key);
    ct_wipe(key, sizeof key);
    return 0;
}

static int64_t ioctl_key(uintptr_t arg)
{
    struct evidence_key_request request;
    int rc = key_decode(arg, &request);

    if (rc == 0)
        rc = svn_fill(&request);
    if (rc == 0)
        rc = key_perform(&request);
    if (rc == 0)
        rc = USER_PUT(arg, &request);
    ct_wipe(&request, sizeof request);
    return rc;
}

/* The agent is process 1 and trusted; nobody else may say what time it is. */
static int64_t ioctl_time(uintptr_t arg)
{
    struct evidence_time_bound request;
    struct clock_bound bound;
    int rc = process_current()->pid == 1 ? USER_GET(&request, arg) : -EPERM;

    if (rc == 0 && request.step_ns != 0)
        rc = -EINVAL;
    if (rc < 0)
        return rc;
    bound = (struct clock_bound){ request.monotonic_ns, request.earliest_ns, request.latest_ns };
    rc = clock_set_bind(&bound, &request.step_ns);
    return rc < 0 ? rc : USER_PUT(arg, &request);
}

static int64_t cloche_ioctl(struct file *f UNUSED, uint32_t request, uintptr_t arg)
{
    switch (request) {
    case CLOCHE_IOC_TARGETINFO:
        return ioctl_targetinfo(arg);
    case CLOCHE_IOC_REPORT:
        return ioctl_report(arg);
    case CLOCHE_IOC_REPORT_VERIFY:
        return ioctl_report_verify(arg);
    case CLOCHE_IOC_KEY:
        return ioctl_key(arg);
    case CLOCHE_IOC_TIME:
        return ioctl_time(arg);
    default:
        return -ENOTTY;
    }
}

static const struct file_ops g_cloche_ops = {
    .ioctl = cloche_ioctl,
};

int dev_cloche_open(struct file *f)
{
    f->ops = &g_cloche_ops;
    return 0;
}
