/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks single parts of the library for what the vectors expect of them, and prints JSON. Tests only.
 *
 *     vector-probe chain intel|amd FILE...          certificates, leaf to root
 *     vector-probe crl FILE CHAIN SERIAL...         which serial numbers are revoked
 *     vector-probe tcb TCB_INFO                     stdin: "<16 SVNs in hex> <pce svn> [<tee_tcb_svn in hex>]" a line
 *     vector-probe sigstruct FILE
 *     vector-probe quotients SIGNATURE MODULUS      in hex
 *     vector-probe id-block BLOCK AUTH DIGEST ID_KEY_DIGEST AUTHOR_KEY_DIGEST SVN POLICY
 *     vector-probe launch                           stdin: one step a line, see launch_step()
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "abi/sgx_arch.h"
#include "builder/sigstruct.h"
#include "cli/file.h"
#include "lib/snp_launch.h"
#include "verifier/intel/signed_json.h"
#include "verifier/intel/tcb.h"
#include "verifier/json_read.h"
#include "verifier/snp/id_block.h"
#include "verifier/x509/chain.h"

static struct verifier_bytes load(const char *path)
{
    struct file_bytes file;
    struct err err = { 0 };

    if (file_bytes_read(path, 1u << 20, &file, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return (struct verifier_bytes){ file.data, file.size };
}

static void print_hex(const char *name, const uint8_t *bytes, size_t size)
{
    printf("\"%s\":\"", name);
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    printf("\"");
}

static void parse_hex(const char *text, uint8_t *dst, size_t size)
{
    if (strlen(text) != 2 * size) {
        fprintf(stderr, "not %zu bytes: %s\n", size, text);
        exit(1);
    }
    for (size_t i = 0; i < size; i++) {
        unsigned byte;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            exit(1);
        dst[i] = (uint8_t)byte;
    }
}

static void print_time(const char *name, int64_t time_s)
{
    char text[TIME_TEXT_SIZE];

    time_print(time_s, text);
    printf("\"%s\":\"%s\"", name, text);
}

static int probe_chain(int argc, char **argv)
{
    struct verifier_bytes parts[VERIFIER_CHAIN_COUNT_MAX];
    struct x509_chain chain;
    uint8_t sha256[32];
    char subject[512] = "";
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned size = sizeof sha256;

    for (int i = 3; i < argc; i++)
        parts[i - 3] = load(argv[i]);
    if (x509_chain_parse(&chain,
                         strcmp(argv[2], "amd") == 0 ? X509_PROFILE_AMD : X509_PROFILE_INTEL, parts,
                         (unsigned)argc - 3) < 0)
        return 1;
    X509_NAME_print_ex(bio, X509_get_subject_name(chain.certs[0]), 0, XN_FLAG_RFC2253);
    BIO_read(bio, subject, sizeof subject - 1);
    X509_digest(chain.certs[0], EVP_sha256(), sha256, &size);
    printf("{\"count\":%u,\"signed\":%s,\"subject\":\"%s\",", chain.count,
           chain.is_signed ? "true" : "false", subject);
    print_hex("sha256", sha256, sizeof sha256);
    printf(",");
    print_hex("root_key_sha256", chain.root_key_sha256, 32);
    printf(",");
    print_time("not_before", x509_time_s(X509_get0_notBefore(chain.certs[0])));
    printf(",");
    print_time("not_after", x509_time_s(X509_get0_notAfter(chain.certs[0])));
    printf("}\n");
    return 0;
}

static int probe_crl(int argc, char **argv)
{
    struct verifier_bytes chain_bytes = load(argv[3]);
    struct x509_chain chain;
    struct x509_crl crl;
    char issuer[512] = "";
    BIO *bio = BIO_new(BIO_s_mem());

    if (x509_crl_parse(&crl, load(argv[2])) < 0 ||
        x509_chain_parse(&chain, X509_PROFILE_INTEL, &chain_bytes, 1) < 0)
        return 1;
    X509_NAME_print_ex(bio, X509_CRL_get_issuer(crl.crl), 0, XN_FLAG_RFC2253 & ~XN_FLAG_DN_REV);
    BIO_read(bio, issuer, sizeof issuer - 1);
    printf("{\"issuer\":\"%s\",\"entries\":%d,\"by\":%s,\"signed\":%s,", issuer,
           sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl.crl)),
           x509_crl_is_by(&crl, chain.certs[0]) ? "true" : "false",
           x509_crl_is_signed(&crl, chain.certs[0], X509_PROFILE_INTEL) ? "true" : "false");
    print_time("this_update", crl.this_update_s);
    printf(",");
    print_time("next_update", crl.next_update_s);
    printf(",\"revoked\":[");
    for (int i = 4; i < argc; i++) {
        X509 *cert = X509_new();
        BIGNUM *serial = NULL;

        BN_hex2bn(&serial, argv[i]);
        BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert));
        printf("%s%s", i > 4 ? "," : "", x509_crl_has(&crl, cert) ? "true" : "false");
        BN_free(serial);
        X509_free(cert);
    }
    printf("]}\n");
    return 0;
}

static int level_index(const struct tcb_info *info, const struct tcb_level *level)
{
    return level ? (int)(level - info->levels) : -1;
}

static void print_level(const char *separator, const struct tcb_info *info,
                        const struct tcb_level *level, const struct tcb_level *sgx_level,
                        bool is_module_unknown, const struct tcb_isv_level *module_level)
{
    unsigned status = level ? level->status : VERIFIER_TCB_NOT_SUPPORTED;
    unsigned module = module_level ? module_level->status : VERIFIER_TCB_NONE;
    const char *unknown = verifier_check_name(VERIFIER_CHECK_TDX_MODULE_MISMATCH);

    printf("%s{\"level\":%d,\"status\":\"%s\",\"sgx_level\":%d,\"module\":\"%s\","
           "\"converged\":\"%s\"}",
           separator, level_index(info, level), verifier_tcb_status_name(status),
           level_index(info, sgx_level),
           is_module_unknown ? unknown : verifier_tcb_status_name(module),
           is_module_unknown && level
               ? unknown
               : verifier_tcb_status_name(tcb_status_converge(status, module)));
}

static int probe_tcb(char **argv)
{
    static struct tcb_info info;
    struct signed_json json;
    char svn_text[40], tdx_text[40], line[160];
    const char *separator = "";

    if (signed_json_parse(load(argv[2]), "tcbInfo", &json) < 0 ||
        tcb_info_parse(json.value, &info) < 0)
        return 1;
    printf("[");
    while (fgets(line, sizeof line, stdin)) {
        uint8_t svn[16], tdx[16];
        unsigned pce;
        int count = sscanf(line, "%39s %u %39s", svn_text, &pce, tdx_text);
        const struct tcb_module *module = NULL;
        const struct tcb_isv_level *module_level = NULL;
        const struct tcb_level *level;

        parse_hex(svn_text, svn, sizeof svn);
        if (count == 3) {
            parse_hex(tdx_text, tdx, sizeof tdx);
            module = tdx[1] ? tcb_module_find(&info, tdx[1]) : NULL;
            module_level = module ? tcb_isv_level_find(&module->tcb, tdx[0]) : NULL;
        }
        level = tcb_level_find(&info, svn, (uint16_t)pce, count == 3 ? tdx : NULL);
        print_level(separator, &info, level, tcb_level_find(&info, svn, (uint16_t)pce, NULL),
                    count == 3 && tdx[1] && !module, module_level);
        separator = ",";
    }
    printf("]\n");
    return 0;
}

static int probe_sigstruct(char **argv)
{
    struct verifier_bytes bytes = load(argv[2]);
    struct sgx_sigstruct s;
    uint8_t mrsigner[32];
    int faults;

    if (bytes.size != sizeof s)
        return 1;
    memcpy(&s, bytes.data, sizeof s);
    faults = sigstruct_faults(&s);
    sigstruct_mrsigner(&s, mrsigner);
    printf("{\"faults\":%d,\"vendor\":%u,\"date\":%u,\"swdefined\":%u,\"exponent\":%u,"
           "\"isvprodid\":%u,\"isvsvn\":%u,",
           faults, s.vendor, s.date, s.sw_defined, s.exponent, s.isv_prod_id, s.isv_svn);
    print_hex("miscselect", (const uint8_t *)&s.misc_select, 4);
    printf(",");
    print_hex("miscmask", (const uint8_t *)&s.misc_mask, 4);
    printf(",");
    print_hex("attributes", (const uint8_t *)&s.attributes, 16);
    printf(",");
    print_hex("attributemask", (const uint8_t *)&s.attributes_mask, 16);
    printf(",");
    print_hex("enclavehash", s.enclave_hash, 32);
    printf(",");
    print_hex("mrsigner", mrsigner, 32);
    printf("}\n");
    return 0;
}

static int probe_quotients(char **argv)
{
    BIGNUM *s = NULL, *n = NULL;
    uint8_t q1[SGX_SIGSTRUCT_KEY_SIZE], q2[SGX_SIGSTRUCT_KEY_SIZE];
    char *text[2];

    BN_hex2bn(&s, argv[2]);
    BN_hex2bn(&n, argv[3]);
    if (sigstruct_quotients(s, n, q1, q2) < 0)
        return 1;
    text[0] = BN_bn2hex(BN_lebin2bn(q1, sizeof q1, NULL));
    text[1] = BN_bn2hex(BN_lebin2bn(q2, sizeof q2, NULL));
    printf("{\"q1\":\"%s\",\"q2\":\"%s\"}\n", text[0], text[1]);
    return 0;
}

static int probe_id_block(int argc, char **argv)
{
    struct verifier_snp report = { .author_key_en = true };
    const char *wrong;

    if (argc != 9)
        return 1;
    parse_hex(argv[4], report.measurement, 48);
    parse_hex(argv[5], report.id_key_digest, 48);
    parse_hex(argv[6], report.author_key_digest, 48);
    report.guest_svn = (uint32_t)strtoul(argv[7], NULL, 0);
    report.policy = strtoull(argv[8], NULL, 0);
    wrong = id_block_verify(load(argv[2]), load(argv[3]), &report);
    printf("{\"wrong\":\"%s\"}\n", wrong ? wrong : "");
    return 0;
}

/* seed HEX | range TYPE GPA SIZE | hashes GPA KERNEL INITRD CMDLINE | vmsa qemu|ec2 EIP SIGNATURE FEATURES */
static int launch_step(struct snp_launch *launch, const char *line)
{
    char a[200], b[200], c[200];
    uint64_t gpa, size, features;
    unsigned type, eip, signature;
    uint8_t page[4096] = { 0 }, seed[48], hashes[3][32];

    if (sscanf(line, "seed %199s", a) == 1) {
        parse_hex(a, seed, sizeof seed);
        snp_launch_init(launch, seed);
    } else if (sscanf(line, "range %u %" SCNx64 " %" SCNx64, &type, &gpa, &size) == 3) {
        snp_launch_range(launch, type, gpa, size);
    } else if (sscanf(line, "hashes %" SCNx64 " %199s %199s %199s", &gpa, a, b, c) == 4) {
        parse_hex(a, hashes[0], 32);
        parse_hex(b, hashes[1], 32);
        parse_hex(c, hashes[2], 32);
        snp_launch_hashes(hashes[0], hashes[1], hashes[2], page + gpa % 4096);
        snp_launch_page(launch, SNP_LAUNCH_PAGE_NORMAL, gpa & ~0xfffull, page);
    } else if (sscanf(line, "vmsa %199s %x %x %" SCNx64, a, &eip, &signature, &features) == 4) {
        struct snp_launch_vcpu vcpu = { .vmm = strcmp(a, "ec2") == 0 ? SNP_LAUNCH_EC2
                                                                     : SNP_LAUNCH_QEMU,
                                        .reset_eip = eip,
                                        .signature = signature,
                                        .sev_features = features };

        snp_launch_vmsa(&vcpu, page);
        snp_launch_page(launch, SNP_LAUNCH_PAGE_VMSA, SNP_LAUNCH_VMSA_GPA, page);
    } else {
        return -EINVAL;
    }
    return 0;
}

static int probe_launch(void)
{
    struct snp_launch launch;
    char line[1024];

    snp_launch_init(&launch, NULL);
    while (fgets(line, sizeof line, stdin))
        if (launch_step(&launch, line) < 0) {
            fprintf(stderr, "not a step: %s", line);
            return 1;
        }
    printf("{");
    print_hex("digest", launch.digest, sizeof launch.digest);
    printf("}\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && argc <= 8 && strcmp(argv[1], "chain") == 0)
        return probe_chain(argc, argv);
    if (argc >= 4 && strcmp(argv[1], "crl") == 0)
        return probe_crl(argc, argv);
    if (argc == 3 && strcmp(argv[1], "tcb") == 0)
        return probe_tcb(argv);
    if (argc == 3 && strcmp(argv[1], "sigstruct") == 0)
        return probe_sigstruct(argv);
    if (argc == 4 && strcmp(argv[1], "quotients") == 0)
        return probe_quotients(argv);
    if (strcmp(argc > 1 ? argv[1] : "", "id-block") == 0)
        return probe_id_block(argc, argv);
    if (argc == 2 && strcmp(argv[1], "launch") == 0)
        return probe_launch();
    fprintf(stderr, "usage: see the head of tests/vectors/probe.c\n");
    return 2;
}
