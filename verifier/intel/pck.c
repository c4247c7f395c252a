/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the SGX extensions of PCK certificates. Relying party; input hostile. */
#include "verifier/intel/pck.h"

#include <errno.h>
#include <string.h>

#include "lib/der_pull.h"
#include "verifier/x509/chain.h"

/* 1.2.840.113741.1.13.1; the next arc tells the member. */
static const uint8_t g_sgx_oid[] = { 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01 };

enum member {
    MEMBER_PPID = 1,
    MEMBER_TCB = 2,
    MEMBER_PCEID = 3,
    MEMBER_FMSPC = 4,
    MEMBER_SGX_TYPE = 5,
    MEMBER_PLATFORM_INSTANCE = 6,
    MEMBER_CONFIGURATION = 7,
};
#define MEMBERS_NEEDED 0x3eu /* 1 to 5 */
#define TCB_PCE_SVN 17
#define TCB_CPU_SVN 18
#define TCB_MEMBERS_ALL 0x7fffeu /* 1 to 18 */

/* Takes SEQUENCE { OID prefix.n, value }; *ret_value is what follows the OID. returns: n, below 128; -EINVAL. */
static int pull_member(struct der_pull *d, const uint8_t *prefix, size_t prefix_size,
                       struct der_pull *ret_value)
{
    struct der_pull oid;

    if (der_pull_element(d, DER_SEQUENCE, ret_value) < 0 ||
        der_pull_element(ret_value, DER_OID, &oid) < 0)
        return -EINVAL;
    if (oid.size != prefix_size + 1 || memcmp(oid.data, prefix, prefix_size) != 0 ||
        oid.data[prefix_size] >= 0x80)
        return -EINVAL;
    return oid.data[prefix_size];
}

static int parse_tcb(struct der_pull value, struct verifier_intel *ret)
{
    uint8_t prefix[sizeof g_sgx_oid + 1];
    struct der_pull list, member;
    uint32_t seen = 0;
    uint64_t number;
    int rc;

    memcpy(prefix, g_sgx_oid, sizeof g_sgx_oid);
    prefix[sizeof g_sgx_oid] = MEMBER_TCB;
    if (der_pull_element(&value, DER_SEQUENCE, &list) < 0 || !der_pull_is_end(&value))
        return -EINVAL;
    while (!der_pull_is_end(&list)) {
        int n = pull_member(&list, prefix, sizeof prefix, &member);

        if (n < 1 || n > TCB_CPU_SVN || (seen & 1u << n))
            return -EINVAL;
        seen |= 1u << n;
        if (n == TCB_CPU_SVN) {
            rc = der_pull_octets(&member, ret->pck_cpu_svn, sizeof ret->pck_cpu_svn);
        } else {
            rc = der_pull_uint(&member, DER_INTEGER, n == TCB_PCE_SVN ? UINT16_MAX : UINT8_MAX,
                               &number);
            if (rc == 0 && n == TCB_PCE_SVN)
                ret->pck_pce_svn = (uint16_t)number;
            else if (rc == 0)
                ret->pck_svn[n - 1] = (uint8_t)number;
        }
        if (rc < 0 || !der_pull_is_end(&member))
            return -EINVAL;
    }
    return seen == TCB_MEMBERS_ALL ? 0 : -EINVAL;
}

static int parse_configuration(struct der_pull value, struct verifier_intel *ret)
{
    uint8_t prefix[sizeof g_sgx_oid + 1];
    struct der_pull list, member;

    memcpy(prefix, g_sgx_oid, sizeof g_sgx_oid);
    prefix[sizeof g_sgx_oid] = MEMBER_CONFIGURATION;
    if (der_pull_element(&value, DER_SEQUENCE, &list) < 0 || !der_pull_is_end(&value))
        return -EINVAL;
    while (!der_pull_is_end(&list)) {
        int n = pull_member(&list, prefix, sizeof prefix, &member);
        bool flag;

        if (n < 1 || der_pull_bool(&member, &flag) < 0 || !der_pull_is_end(&member))
            return -EINVAL;
        if (n == 1)
            ret->dynamic_platform = flag;
        else if (n == 2)
            ret->cached_keys = flag;
        else if (n == 3)
            ret->smt_enabled = flag;
    }
    return 0;
}

static int parse_member(int n, struct der_pull value, struct verifier_intel *ret)
{
    uint64_t number;
    int rc;

    switch (n) {
    case MEMBER_PPID:
        rc = der_pull_octets(&value, ret->ppid, sizeof ret->ppid);
        break;
    case MEMBER_TCB:
        return parse_tcb(value, ret);
    case MEMBER_PCEID:
        rc = der_pull_octets(&value, ret->pce_id, sizeof ret->pce_id);
        break;
    case MEMBER_FMSPC:
        rc = der_pull_octets(&value, ret->fmspc, sizeof ret->fmspc);
        break;
    case MEMBER_SGX_TYPE:
        rc = der_pull_uint(&value, DER_ENUMERATED, 2, &number);
        if (rc == 0)
            ret->sgx_type = (uint8_t)number;
        break;
    case MEMBER_PLATFORM_INSTANCE:
        rc = der_pull_octets(&value, ret->platform_instance_id, sizeof ret->platform_instance_id);
        ret->has_platform_instance_id = rc == 0;
        break;
    case MEMBER_CONFIGURATION:
        return parse_configuration(value, ret);
    default:
        return 0; /* a later edition's */
    }
    return rc == 0 && der_pull_is_end(&value) ? 0 : -EINVAL;
}

int pck_extension_parse(struct verifier_bytes content, struct verifier_intel *ret)
{
    struct der_pull d = { content.data, content.size }, list, value;
    uint64_t seen = 0;

    if (der_pull_element(&d, DER_SEQUENCE, &list) < 0 || !der_pull_is_end(&d))
        return -EINVAL;
    while (!der_pull_is_end(&list)) {
        int n = pull_member(&list, g_sgx_oid, sizeof g_sgx_oid, &value);

        if (n < 1 || n > 63 || (seen & 1ull << n) || parse_member(n, value, ret) < 0)
            return -EINVAL;
        seen |= 1ull << n;
    }
    if ((seen & MEMBERS_NEEDED) != MEMBERS_NEEDED)
        return -EINVAL;
    ret->has_pck = true;
    return 0;
}

int pck_parse(const X509 *cert, struct verifier_intel *ret)
{
    struct verifier_bytes content;
    int rc = x509_extension_find(cert, PCK_EXTENSION_OID, &content);

    return rc < 0 ? -EINVAL : pck_extension_parse(content, ret);
}
