/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a sealed image's folder together for tests, with a fresh key and from ready-made parts, so that
 * tests of the runtime need no builder and can seal wrong things too. Not part of the product.
 *
 * usage: make_bundle OUT ENCLAVE ROOTFS VERITY ROOT_HASH SALT [mount=/path]... [env=NAME]...
 *        [setenv=NAME=VALUE]... [memory=MIB] [threads=N] -- ARG...
 * ROOTFS and VERITY are copied; "-" makes empty blocks.
 */
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/descriptor.h"
#include "lib/digest.h"
#include "lib/enclave_plan.h"

static void fail(const char *what)
{
    fprintf(stderr, "make_bundle: %s\n", what);
    exit(1);
}

static uint8_t *read_all(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data;
    long size;

    if (!f || fseek(f, 0, SEEK_END) < 0)
        fail(path);
    size = ftell(f);
    rewind(f);
    data = malloc((size_t)size + 1);
    if (!data || fread(data, 1, (size_t)size, f) != (size_t)size)
        fail(path);
    fclose(f);
    *ret_size = (size_t)size;
    return data;
}

static void write_all(const char *folder, const char *name, const void *data, size_t size)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        fail(path);
}

static void from_hex(const char *hex, uint8_t *ret, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned byte;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            fail("bad hexadecimal");
        ret[i] = (uint8_t)byte;
    }
}

/* Little-endian, SGX_SIGSTRUCT_KEY_SIZE bytes. */
static void put_bn(uint8_t *dst, const BIGNUM *n)
{
    if (BN_bn2lebinpad(n, dst, SGX_SIGSTRUCT_KEY_SIZE) < 0)
        fail("number too large");
}

static EVP_PKEY *make_key(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, NULL);
    BIGNUM *e = BN_new();
    EVP_PKEY *key = NULL;

    BN_set_word(e, 3);
    if (EVP_PKEY_keygen_init(ctx) <= 0 || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 3072) <= 0 ||
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) <= 0 || EVP_PKEY_generate(ctx, &key) <= 0)
        fail("key");
    return key;
}

/* SDM vol. 3D, 38.14: signature over bytes 0-127 and 900-1027; Q1 and Q2 speed the CPU's check up. */
static void sign(struct sgx_sigstruct *s)
{
    EVP_PKEY *key = make_key();
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *m = NULL, *sig, *q = BN_new(), *r = BN_new(), *t = BN_new(), *p = BN_new();
    uint8_t body[256], signature[384];
    size_t size = sizeof signature;

    memcpy(body, s, 128);
    memcpy(body + 128, &s->misc_select, 128);
    if (EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) <= 0 ||
        EVP_DigestSign(md, signature, &size, body, sizeof body) <= 0)
        fail("sign");
    EVP_PKEY_get_bn_param(key, "n", &m);
    sig = BN_bin2bn(signature, (int)size, NULL);
    put_bn(s->modulus, m);
    put_bn(s->signature, sig);
    s->exponent = 3;
    BN_sqr(t, sig, ctx);
    BN_div(q, r, t, m, ctx);
    put_bn(s->q1, q);
    BN_mul(t, r, sig, ctx);
    BN_div(p, NULL, t, m, ctx);
    put_bn(s->q2, p);
}

static void make_sigstruct(const struct enclave_plan *plan, bool debug, struct sgx_sigstruct *ret)
{
    static const uint8_t header[] = SGX_SIGSTRUCT_HEADER, header2[] = SGX_SIGSTRUCT_HEADER2;
    struct sgx_secs secs;

    memset(ret, 0, sizeof *ret);
    memcpy(ret->header, header, 16);
    memcpy(ret->header2, header2, 16);
    ret->date = 0x20260101;
    enclave_plan_secs(plan, SGX_XFRM_LEGACY, debug, &secs);
    ret->misc_select = secs.misc_select;
    ret->misc_mask = UINT32_MAX;
    ret->attributes = secs.attributes;
    ret->attributes.flags &= ~SGX_ATTR_INIT;
    ret->attributes_mask.flags = ~0ull;
    ret->attributes_mask.xfrm = SGX_XFRM_LEGACY;
    if (enclave_plan_measure(plan, ret->enclave_hash) < 0)
        fail("the enclave file is not valid");
    sign(ret);
}

static void add_option(struct descriptor *d, struct descriptor_mount *mounts,
                       struct descriptor_env *env, char *option)
{
    char *value = strchr(option, '=');

    if (!value)
        fail(option);
    *value++ = 0;
    if (strcmp(option, "mount") == 0) {
        mounts[d->mounts_count++] =
            (struct descriptor_mount){ .kind = DESCRIPTOR_MOUNT_HOST, .path = value };
    } else if (strcmp(option, "env") == 0) {
        env[d->env_count++].name = value;
    } else if (strcmp(option, "setenv") == 0) {
        char *text = strchr(value, '=');

        *text = 0;
        env[d->env_count].value = text + 1;
        env[d->env_count++].name = value;
    } else if (strcmp(option, "memory") == 0) {
        d->memory_size = strtoull(value, NULL, 10) << 20;
    } else if (strcmp(option, "threads") == 0) {
        d->threads_max = (uint32_t)strtoul(value, NULL, 10);
    } else {
        fail(option);
    }
}

int main(int argc, char **argv)
{
    static struct descriptor_mount mounts[8];
    static struct descriptor_env env[16];
    static uint8_t empty[8192];
    static char json[65536];
    struct descriptor d = {
        .version = DESCRIPTOR_VERSION,
        .name = "test",
        .rootfs_size = 8192,
        .workdir = "/",
        .hostname = "test",
        .mounts = mounts,
        .env = env,
        .memory_size = 1ull << 30,
        .threads_max = 64,
        .elrange_size = ELRANGE_SIZE_DEFAULT,
        .stop_signal = "SIGTERM",
        .args_from_host = true,
    };
    struct enclave_plan plan = { .static_slots = ENCLAVE_PLAN_STATIC_SLOTS };
    struct sgx_sigstruct sigstruct;
    uint8_t *rootfs = empty, *verity = empty;
    size_t rootfs_size = 8192, verity_size = 8192;
    int64_t json_size;
    int i;

    if (argc < 7)
        fail("usage: OUT ENCLAVE ROOTFS VERITY ROOT_HASH SALT [option]... -- ARG...");
    plan.elf = read_all(argv[2], &plan.elf_size);
    if (strcmp(argv[3], "-") != 0) {
        rootfs = read_all(argv[3], &rootfs_size);
        verity = read_all(argv[4], &verity_size);
        from_hex(argv[5], d.verity_root, 32);
        d.verity_salt_size = (uint32_t)strlen(argv[6]) / 2;
        if (d.verity_salt_size > 32)
            fail("salt too long");
        from_hex(argv[6], d.verity_salt, d.verity_salt_size);
        d.rootfs_size = rootfs_size;
    }
    for (i = 7; i < argc && strcmp(argv[i], "--") != 0; i++)
        add_option(&d, mounts, env, argv[i]);
    if (i + 1 >= argc)
        fail("no arguments");
    d.args = (const char *const *)argv + i + 1;
    d.args_count = (uint32_t)(argc - i - 1);
    json_size = descriptor_encode(&d, json, sizeof json);
    if (json_size < 0)
        fail("descriptor too long");
    sha384_digest(json, (size_t)json_size, plan.app_digest);
    plan.elrange_size = d.elrange_size;
    make_sigstruct(&plan, d.debug, &sigstruct);
    mkdir(argv[1], 0777);
    write_all(argv[1], IMAGE_FILE_ENCLAVE, plan.elf, plan.elf_size);
    write_all(argv[1], IMAGE_FILE_SIGSTRUCT, &sigstruct, sizeof sigstruct);
    write_all(argv[1], IMAGE_FILE_DESCRIPTOR, json, (size_t)json_size);
    write_all(argv[1], IMAGE_FILE_ROOTFS, rootfs, rootfs_size);
    write_all(argv[1], IMAGE_FILE_VERITY, verity, verity_size);
    write_all(argv[1], IMAGE_FILE_LOADER, "-", 1);
    return 0;
}
