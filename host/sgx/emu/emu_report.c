/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EREPORT and EGETKEY. Untrusted side. SDM vol. 3D, section 38.4 (EGETKEY's table of key
 * dependencies). The derivation is AES-CMAC under a key of this installation: nobody but this
 * emulator can recompute it, and nothing protects it.
 */
#include "host/sgx/emu/emu.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#define RFLAGS_ARITHMETIC 0x8d5ll
#define RFLAGS_ZF 0x40ll
#define KEY_SIZE 16
#define POLICY_BASIC (SGX_KEYPOLICY_MRENCLAVE | SGX_KEYPOLICY_MRSIGNER)
#define POLICY_KSS                                                                                 \
    (SGX_KEYPOLICY_NOISVPRODID | SGX_KEYPOLICY_CONFIGID | SGX_KEYPOLICY_ISVFAMILYID |              \
     SGX_KEYPOLICY_ISVEXTPRODID)
#define ATTR_ALWAYS (SGX_ATTR_INIT | SGX_ATTR_DEBUG)

/* CPUSVN of the emulated CPU (docs/emulator.md). */
static const uint8_t g_cpu_svn[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

/* What a key depends on; fields that a key does not depend on are zero. Hashed as it lies. */
struct key_dependencies {
    uint16_t key_name;
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint16_t key_policy;
    uint8_t cet_attributes;
    uint8_t cet_attributes_mask;
    uint32_t misc_select;
    uint32_t misc_mask;
    uint32_t pad;
    struct sgx_attributes attributes;
    struct sgx_attributes attributes_mask;
    uint8_t mrenclave[32];
    uint8_t mrsigner[32];
    uint8_t key_id[32];
    uint8_t cpu_svn[16];
    uint8_t seal_fuses[16];
    uint8_t config_id[64];
    uint8_t isv_family_id[16];
    uint8_t isv_ext_prod_id[16];
} PACKED;

/* Set once, by emu_report_init. */
static uint8_t g_fuse[32];
static int g_fuse_error;
static EVP_MAC *g_mac;

static void init_once(void)
{
    g_fuse_error = emu_fuse_get(g_fuse);
    g_mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
}

void emu_report_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_once);
}

static bool cmac(const uint8_t key[KEY_SIZE], const void *data, size_t size, uint8_t ret[KEY_SIZE])
{
    char cipher[] = "AES-128-CBC";
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC_CTX *ctx = g_mac ? EVP_MAC_CTX_new(g_mac) : NULL;
    size_t len = 0;
    bool ok = ctx && EVP_MAC_init(ctx, key, KEY_SIZE, params) == 1 &&
              EVP_MAC_update(ctx, data, size) == 1 &&
              EVP_MAC_final(ctx, ret, &len, KEY_SIZE) == 1 && len == KEY_SIZE;

    EVP_MAC_CTX_free(ctx);
    return ok;
}

/* false: the key file cannot be had. */
static bool derive(const struct key_dependencies *dep, uint8_t ret[KEY_SIZE])
{
    return g_fuse_error == 0 && cmac(g_fuse, dep, sizeof *dep, ret);
}

static bool is_zero(const void *p, size_t size)
{
    const uint8_t *bytes = p;
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

static enum emu_outcome general_protection(struct emu_fault *ret)
{
    *ret = (struct emu_fault){ .vector = EMU_GP };
    return EMU_FAULTED;
}

static enum emu_outcome page_fault(struct emu_fault *ret, uint64_t addr)
{
    *ret = (struct emu_fault){ .vector = EMU_PF,
                               .code = EMU_PF_SGX | EMU_PF_PRESENT | EMU_PF_USER,
                               .addr = addr };
    return EMU_FAULTED;
}

static void report_dependencies(const struct sgx_targetinfo *ti, const uint8_t key_id[32],
                                struct key_dependencies *ret)
{
    *ret = (struct key_dependencies){ .key_name = SGX_KEY_REPORT,
                                      .attributes = ti->attributes,
                                      .misc_select = ti->misc_select,
                                      .config_svn = ti->config_svn,
                                      .cet_attributes = ti->cet_attributes };
    memcpy(ret->mrenclave, ti->mrenclave, sizeof ret->mrenclave);
    memcpy(ret->config_id, ti->config_id, sizeof ret->config_id);
    memcpy(ret->key_id, key_id, sizeof ret->key_id);
    memcpy(ret->cpu_svn, g_cpu_svn, sizeof ret->cpu_svn);
}

static void fill_body(const struct sgx_enclave *e, const uint8_t report_data[64],
                      struct sgx_report_body *ret)
{
    *ret = (struct sgx_report_body){ .misc_select = e->secs.misc_select,
                                     .attributes = e->secs.attributes,
                                     .isv_prod_id = e->secs.isv_prod_id,
                                     .isv_svn = e->secs.isv_svn,
                                     .config_svn = e->secs.config_svn };
    memcpy(ret->cpu_svn, g_cpu_svn, sizeof ret->cpu_svn);
    memcpy(ret->isv_ext_prod_id, e->isv_ext_prod_id, sizeof ret->isv_ext_prod_id);
    memcpy(ret->isv_family_id, e->isv_family_id, sizeof ret->isv_family_id);
    memcpy(ret->mrenclave, e->secs.mrenclave, sizeof ret->mrenclave);
    memcpy(ret->mrsigner, e->secs.mrsigner, sizeof ret->mrsigner);
    memcpy(ret->config_id, e->secs.config_id, sizeof ret->config_id);
    memcpy(ret->report_data, report_data, sizeof ret->report_data);
}

/* RBX: TARGETINFO, RCX: REPORTDATA, RDX: where the REPORT goes. */
enum emu_outcome emu_ereport(struct emu_thread *t, greg_t *g, struct emu_fault *ret_fault)
{
    uint64_t target = (uint64_t)g[REG_RBX], data = (uint64_t)g[REG_RCX], out = (uint64_t)g[REG_RDX];
    struct sgx_targetinfo ti;
    uint8_t report_data[64], key[KEY_SIZE];
    struct sgx_report report = { 0 };
    struct key_dependencies dep;

    if (emu_operand_check(t->e, target, sizeof ti, 512, SGX_SECINFO_R, ret_fault) < 0 ||
        emu_operand_check(t->e, data, sizeof report_data, 128, SGX_SECINFO_R, ret_fault) < 0 ||
        emu_operand_check(t->e, out, sizeof report, 512, SGX_SECINFO_R | SGX_SECINFO_W, ret_fault) <
            0)
        return EMU_FAULTED;
    if (sgx_emu_copy(&ti, (const void *)target, sizeof ti) < 0)
        return page_fault(ret_fault, target);
    if (sgx_emu_copy(report_data, (const void *)data, sizeof report_data) < 0)
        return page_fault(ret_fault, data);
    if (ti.reserved1 || ti.cet_attributes || !is_zero(ti.reserved2, sizeof ti.reserved2) ||
        !is_zero(ti.reserved3, sizeof ti.reserved3))
        return general_protection(ret_fault);
    fill_body(t->e, report_data, &report.body);
    /* KEYID is a nonce of the CPU's; any fixed value will do, since it travels in the report. */
    memcpy(report.key_id, "emulated", 8);
    report_dependencies(&ti, report.key_id, &dep);
    if (!derive(&dep, key) || !cmac(key, &report.body, sizeof report.body, report.mac))
        return general_protection(ret_fault);
    OPENSSL_cleanse(key, sizeof key);
    if (sgx_emu_copy((void *)out, &report, sizeof report) < 0)
        return page_fault(ret_fault, out);
    return EMU_DONE;
}

static bool svn_is_allowed(const uint8_t cpu_svn[16])
{
    for (size_t i = 0; i < sizeof g_cpu_svn; i++)
        if (cpu_svn[i] > g_cpu_svn[i])
            return false;
    return true;
}

/* What seal, provision and launch keys share: the requester's SVNs, masked attributes. */
static enum sgx_error common_dependencies(const struct sgx_enclave *e,
                                          const struct sgx_keyrequest *r,
                                          struct key_dependencies *ret)
{
    if (!svn_is_allowed(r->cpu_svn))
        return SGX_INVALID_CPUSVN;
    if (r->isv_svn > e->secs.isv_svn)
        return SGX_INVALID_ISVSVN;
    ret->isv_svn = r->isv_svn;
    ret->isv_prod_id = e->secs.isv_prod_id;
    memcpy(ret->cpu_svn, r->cpu_svn, sizeof ret->cpu_svn);
    ret->attributes_mask = r->attribute_mask;
    ret->attributes.flags = e->secs.attributes.flags & (r->attribute_mask.flags | ATTR_ALWAYS);
    ret->attributes.xfrm = e->secs.attributes.xfrm & r->attribute_mask.xfrm;
    ret->misc_mask = r->misc_mask;
    ret->misc_select = e->secs.misc_select & r->misc_mask;
    return SGX_SUCCESS;
}

static enum sgx_error seal_dependencies(const struct sgx_enclave *e, const struct sgx_keyrequest *r,
                                        struct key_dependencies *ret)
{
    enum sgx_error error = common_dependencies(e, r, ret);

    if (error)
        return error;
    ret->key_policy = r->key_policy;
    memcpy(ret->key_id, r->key_id, sizeof ret->key_id);
    memcpy(ret->seal_fuses, g_fuse + 16, sizeof ret->seal_fuses);
    if (r->key_policy & SGX_KEYPOLICY_MRENCLAVE)
        memcpy(ret->mrenclave, e->secs.mrenclave, sizeof ret->mrenclave);
    if (r->key_policy & SGX_KEYPOLICY_MRSIGNER)
        memcpy(ret->mrsigner, e->secs.mrsigner, sizeof ret->mrsigner);
    if (r->key_policy & SGX_KEYPOLICY_NOISVPRODID)
        ret->isv_prod_id = 0;
    if (r->key_policy & SGX_KEYPOLICY_CONFIGID) {
        if (r->config_svn > e->secs.config_svn)
            return SGX_INVALID_ISVSVN;
        memcpy(ret->config_id, e->secs.config_id, sizeof ret->config_id);
        ret->config_svn = r->config_svn;
    }
    if (r->key_policy & SGX_KEYPOLICY_ISVFAMILYID)
        memcpy(ret->isv_family_id, e->isv_family_id, sizeof ret->isv_family_id);
    if (r->key_policy & SGX_KEYPOLICY_ISVEXTPRODID)
        memcpy(ret->isv_ext_prod_id, e->isv_ext_prod_id, sizeof ret->isv_ext_prod_id);
    return SGX_SUCCESS;
}

static void own_report_dependencies(const struct sgx_enclave *e, const struct sgx_keyrequest *r,
                                    struct key_dependencies *ret)
{
    struct sgx_targetinfo self = { .attributes = e->secs.attributes,
                                   .misc_select = e->secs.misc_select,
                                   .config_svn = e->secs.config_svn };

    memcpy(self.mrenclave, e->secs.mrenclave, sizeof self.mrenclave);
    memcpy(self.config_id, e->secs.config_id, sizeof self.config_id);
    report_dependencies(&self, r->key_id, ret);
}

static enum sgx_error key_dependencies(const struct sgx_enclave *e, const struct sgx_keyrequest *r,
                                       struct key_dependencies *ret)
{
    uint64_t flags = e->secs.attributes.flags;
    enum sgx_error error;

    *ret = (struct key_dependencies){ .key_name = r->key_name };
    switch (r->key_name) {
    case SGX_KEY_SEAL:
        return seal_dependencies(e, r, ret);
    case SGX_KEY_REPORT:
        own_report_dependencies(e, r, ret);
        return SGX_SUCCESS;
    case SGX_KEY_EINITTOKEN:
        if (!(flags & SGX_ATTR_EINITTOKENKEY))
            return SGX_INVALID_ATTRIBUTE;
        error = common_dependencies(e, r, ret);
        memcpy(ret->mrsigner, e->secs.mrsigner, sizeof ret->mrsigner);
        memcpy(ret->key_id, r->key_id, sizeof ret->key_id);
        return error;
    case SGX_KEY_PROVISION:
    case SGX_KEY_PROVISION_SEAL:
        if (!(flags & SGX_ATTR_PROVISIONKEY))
            return SGX_INVALID_ATTRIBUTE;
        error = common_dependencies(e, r, ret);
        memcpy(ret->mrsigner, e->secs.mrsigner, sizeof ret->mrsigner);
        if (r->key_name == SGX_KEY_PROVISION_SEAL)
            memcpy(ret->seal_fuses, g_fuse + 16, sizeof ret->seal_fuses);
        return error;
    default:
        return SGX_INVALID_KEYNAME;
    }
}

/* RBX: KEYREQUEST, RCX: where the key goes. */
enum emu_outcome emu_egetkey(struct emu_thread *t, greg_t *g, struct emu_fault *ret_fault)
{
    uint64_t request = (uint64_t)g[REG_RBX], out = (uint64_t)g[REG_RCX];
    bool kss = t->e->secs.attributes.flags & SGX_ATTR_KSS;
    struct sgx_keyrequest r;
    struct key_dependencies dep;
    uint8_t key[KEY_SIZE];

    if (emu_operand_check(t->e, request, sizeof r, 512, SGX_SECINFO_R, ret_fault) < 0 ||
        emu_operand_check(t->e, out, sizeof key, 16, SGX_SECINFO_R | SGX_SECINFO_W, ret_fault) < 0)
        return EMU_FAULTED;
    if (sgx_emu_copy(&r, (const void *)request, sizeof r) < 0)
        return page_fault(ret_fault, request);
    if (r.reserved1 || !is_zero(r.reserved2, sizeof r.reserved2) ||
        (r.key_policy & ~(POLICY_BASIC | (kss ? POLICY_KSS : 0))))
        return general_protection(ret_fault);
    if (!derive(&(struct key_dependencies){ 0 }, key)) /* the fuse is there from here on */
        return general_protection(ret_fault);
    enum sgx_error error = key_dependencies(t->e, &r, &dep);

    if (!error) {
        if (!derive(&dep, key))
            return general_protection(ret_fault);
        if (sgx_emu_copy((void *)out, key, sizeof key) < 0)
            return page_fault(ret_fault, out);
    }
    OPENSSL_cleanse(key, sizeof key);
    OPENSSL_cleanse(&dep, sizeof dep);
    g[REG_RAX] = error;
    g[REG_EFL] = (g[REG_EFL] & ~RFLAGS_ARITHMETIC) | (error ? RFLAGS_ZF : 0);
    return EMU_DONE;
}
