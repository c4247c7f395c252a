/* SPDX-License-Identifier: Apache-2.0 */
/* Reads VCEK and VLEK certificates, AMD 57230. Relying party; input hostile. */
#include "verifier/snp/vek.h"

#include <errno.h>
#include <string.h>

#include "lib/der_pull.h"
#include "verifier/snp/report.h"
#include "verifier/x509/chain.h"

#define OID_PRODUCT "1.3.6.1.4.1.3704.1.2"
#define OID_SPL_BOOTLOADER "1.3.6.1.4.1.3704.1.3.1"
#define OID_SPL_TEE "1.3.6.1.4.1.3704.1.3.2"
#define OID_SPL_SNP "1.3.6.1.4.1.3704.1.3.3"
#define OID_SPL_MICROCODE "1.3.6.1.4.1.3704.1.3.8"
#define OID_SPL_FMC "1.3.6.1.4.1.3704.1.3.9"
#define OID_HWID "1.3.6.1.4.1.3704.1.4"
#define OID_CSP_ID "1.3.6.1.4.1.3704.1.5"

static int read_spl(const X509 *cert, const char *oid, uint8_t *ret)
{
    struct verifier_bytes content;
    struct der_pull d;
    uint64_t value;
    int rc = x509_extension_find(cert, oid, &content);

    if (rc < 0)
        return -EINVAL;
    d = (struct der_pull){ content.data, content.size };
    rc = der_pull_uint(&d, DER_INTEGER, UINT8_MAX, &value);
    if (rc < 0 || !der_pull_is_end(&d))
        return -EINVAL;
    *ret = (uint8_t)value;
    return 0;
}

/* returns: 0; -ENOENT there is none; -EINVAL. */
static int read_text(const X509 *cert, const char *oid, char *dst, size_t size)
{
    struct verifier_bytes content;
    struct der_pull d, text;
    int rc = x509_extension_find(cert, oid, &content);

    if (rc < 0)
        return rc;
    d = (struct der_pull){ content.data, content.size };
    rc = der_pull_element(&d, DER_IA5_STRING, &text);
    if (rc < 0 || !der_pull_is_end(&d) || text.size >= size || memchr(text.data, 0, text.size))
        return -EINVAL;
    memcpy(dst, text.data, text.size);
    dst[text.size] = 0;
    return 0;
}

/* In most certificates the octets stand in the extension as they are; in newer ones an OCTET STRING is around them. */
static int read_hw_id(const X509 *cert, struct vek *ret)
{
    size_t size = ret->product == VERIFIER_SNP_TURIN ? 8 : 64;
    struct verifier_bytes content;
    struct der_pull d;
    int rc = x509_extension_find(cert, OID_HWID, &content);

    if (rc < 0)
        return rc;
    if (content.size != size) {
        d = (struct der_pull){ content.data, content.size };
        if (der_pull_octets(&d, ret->hw_id, size) < 0 || !der_pull_is_end(&d))
            return -EINVAL;
        ret->hw_id_size = size;
        return 0;
    }
    memcpy(ret->hw_id, content.data, content.size);
    ret->hw_id_size = content.size;
    return 0;
}

int vek_parse(const X509 *cert, struct vek *ret)
{
    char product[32];
    int rc;

    memset(ret, 0, sizeof *ret);
    if (read_text(cert, OID_PRODUCT, product, sizeof product) < 0)
        return -EINVAL;
    ret->product = snp_product_of_name(product);
    if (read_spl(cert, OID_SPL_BOOTLOADER, &ret->tcb.bootloader) < 0 ||
        read_spl(cert, OID_SPL_TEE, &ret->tcb.tee) < 0 ||
        read_spl(cert, OID_SPL_SNP, &ret->tcb.snp) < 0 ||
        read_spl(cert, OID_SPL_MICROCODE, &ret->tcb.microcode) < 0)
        return -EINVAL;
    if (ret->product == VERIFIER_SNP_TURIN && read_spl(cert, OID_SPL_FMC, &ret->tcb.fmc) < 0)
        return -EINVAL;
    rc = read_text(cert, OID_CSP_ID, ret->csp_id, sizeof ret->csp_id);
    if (rc == -EINVAL)
        return rc;
    ret->is_vlek = rc == 0;
    rc = read_hw_id(cert, ret);
    if (rc == -EINVAL || ret->is_vlek != (rc == -ENOENT)) /* one of the two */
        return -EINVAL;
    return 0;
}
