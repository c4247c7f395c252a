/* SPDX-License-Identifier: Apache-2.0 */
/* See evidence.h. Trusted; hosted. No stdio, no allocation but one mapping. */
#include "tee/agent/evidence.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_SIZE 64u
#define NAME_PREFIX "cloche-"
#define NAME_SIZE (sizeof NAME_PREFIX + 32u)
#define NAME_TRIES 4u
#define PAUSE_NS 20000000l
#define PAGES_SIZE (EVIDENCE_OUTBLOB_SIZE_MAX + 1 + EVIDENCE_AUXBLOB_SIZE_MAX + 1)

/* Where the report data lies in each provider's report. */
#define SNP_REPORT_DATA_OFF 0x50u     /* SEV-SNP ABI, ATTESTATION_REPORT */
#define QUOTE_HEADER_SIZE 48u         /* Intel DCAP: versions 3, 4 and 5 */
#define QUOTE_V5_BODY_HEADER_SIZE 6u  /* type and size */
#define SGX_BODY_REPORT_DATA_OFF 320u /* of 384 */
#define TD_BODY_REPORT_DATA_OFF 520u  /* of 584, and of 648 of TD 1.5 */
#define QUOTE_TEE_TYPE_OFF 4u
#define QUOTE_TEE_TDX 0x81u

struct entry {
    int tree;   /* the folder of entries */
    int folder; /* the entry */
    char name[NAME_SIZE];
};

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- attributes ---- */

static void close_fd(const int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

/* All of an attribute. dst has size + 1 bytes. returns: bytes; -EMSGSIZE more than size; -errno. */
static int64_t attribute_read(const struct entry *e, const char *name, void *dst, size_t size)
{
    CLEANUP(close_fd)
    int fd = openat(e->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    size_t used = 0;
    ssize_t n;

    if (fd < 0)
        return -errno;
    while (used <= size) {
        n = read(fd, (char *)dst + used, size + 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return (int64_t)used;
        used += (size_t)n;
    }
    return -EMSGSIZE;
}

/* One line, without its end. dst: TEXT_SIZE + 1 bytes, NUL-ended afterwards. */
static int text_read(const struct entry *e, const char *name, char *dst)
{
    int64_t size = attribute_read(e, name, dst, TEXT_SIZE);

    if (size < 0)
        return size == -EMSGSIZE ? -EPROTO : (int)size;
    if (size == 0 || dst[size - 1] != '\n' || memchr(dst, 0, (size_t)size))
        return -EPROTO;
    dst[size - 1] = 0;
    return strchr(dst, '\n') ? -EPROTO : 0;
}

static int generation_read(const struct entry *e, uint64_t *ret)
{
    char text[TEXT_SIZE + 1];
    uint64_t value = 0;
    int rc = text_read(e, "generation", text);

    if (rc < 0)
        return rc;
    if (!text[0])
        return -EPROTO;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || __builtin_mul_overflow(value, 10ull, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
            return -EPROTO;
    }
    *ret = value;
    return 0;
}

static int provider_read(const struct entry *e, char ret[EVIDENCE_PROVIDER_SIZE])
{
    char text[TEXT_SIZE + 1];
    int rc = text_read(e, "provider", text);
    size_t len;

    if (rc < 0)
        return rc;
    len = strlen(text);
    if (len == 0 || len >= EVIDENCE_PROVIDER_SIZE)
        return -EPROTO;
    for (size_t i = 0; i < len; i++)
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9') &&
            text[i] != '_')
            return -EPROTO;
    memcpy(ret, text, len + 1);
    return 0;
}

static int inblob_write(const struct entry *e, const uint8_t data[EVIDENCE_REPORT_DATA_SIZE])
{
    CLEANUP(close_fd)
    int fd = openat(e->folder, "inblob", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = write(fd, data, EVIDENCE_REPORT_DATA_SIZE);
    if (n < 0)
        return -errno;
    return n == EVIDENCE_REPORT_DATA_SIZE ? 0 : -EIO;
}

/* ---- one attempt ---- */

/* The report data of the evidence; NULL: it is too short, or of a kind that is not known. */
static const uint8_t *report_data_of(const struct evidence *e)
{
    size_t off = QUOTE_HEADER_SIZE;
    uint16_t version;

    if (strcmp(e->provider, "sev_guest") == 0) {
        off = SNP_REPORT_DATA_OFF;
    } else if (e->outblob_size < QUOTE_HEADER_SIZE) {
        return NULL;
    } else {
        memcpy(&version, e->outblob, sizeof version);
        off += version == 5 ? QUOTE_V5_BODY_HEADER_SIZE : 0;
        off += e->outblob[QUOTE_TEE_TYPE_OFF] == QUOTE_TEE_TDX && version >= 4
                   ? TD_BODY_REPORT_DATA_OFF
                   : SGX_BODY_REPORT_DATA_OFF;
    }
    return e->outblob_size >= off + EVIDENCE_REPORT_DATA_SIZE ? e->outblob + off : NULL;
}

/* Providers that this code does not know are let through: their format is the verifier's business. */
static int report_data_check(const struct evidence *e, const uint8_t *data)
{
    static const char *const known[] = { "cloche_sgx", "sev_guest", "tdx_guest" };

    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        const uint8_t *found;

        if (strcmp(e->provider, known[i]) != 0)
            continue;
        found = report_data_of(e);
        return found && memcmp(found, data, EVIDENCE_REPORT_DATA_SIZE) == 0 ? 0 : -EBADMSG;
    }
    return 0;
}

/* Supplementary: that there is none, or that it cannot be had, does not spoil the evidence. */
static int auxblob_read(const struct entry *entry, struct evidence *e, uint8_t *dst)
{
    int64_t size = attribute_read(entry, "auxblob", dst, EVIDENCE_AUXBLOB_SIZE_MAX);

    e->auxblob = dst;
    e->auxblob_size = size > 0 ? (size_t)size : 0;
    return size == -EMSGSIZE ? -EMSGSIZE : 0;
}

/* returns: 0; -EBUSY: another one wrote in between, or the platform is busy; else as evidence_get. */
static int attempt(const struct entry *entry, const uint8_t *data, struct evidence *e)
{
    uint64_t before, after;
    uint8_t *out = e->pages;
    int64_t size;
    int rc = provider_read(entry, e->provider);

    if (rc == 0)
        rc = generation_read(entry, &before);
    if (rc == 0)
        rc = inblob_write(entry, data);
    if (rc < 0)
        return rc;
    size = attribute_read(entry, "outblob", out, EVIDENCE_OUTBLOB_SIZE_MAX);
    if (size <= 0)
        return size < 0 ? (int)size : -EIO;
    e->outblob = out;
    e->outblob_size = (size_t)size;
    rc = auxblob_read(entry, e, out + EVIDENCE_OUTBLOB_SIZE_MAX + 1);
    if (rc == 0)
        rc = generation_read(entry, &after);
    if (rc < 0)
        return rc;
    if (after != before + 1)
        return -EBUSY;
    return report_data_check(e, data);
}

/* ---- the entry ---- */

static int name_make(char name[NAME_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];

    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return -EIO;
    memcpy(name, NAME_PREFIX, sizeof NAME_PREFIX - 1);
    for (size_t i = 0; i < sizeof bytes; i++) {
        name[sizeof NAME_PREFIX - 1 + 2 * i] = digits[bytes[i] >> 4];
        name[sizeof NAME_PREFIX + 2 * i] = digits[bytes[i] & 15];
    }
    name[NAME_SIZE - 1] = 0;
    return 0;
}

static void entry_done(struct entry *e)
{
    if (e->folder >= 0)
        close(e->folder);
    if (e->name[0])
        unlinkat(e->tree, e->name, AT_REMOVEDIR);
    if (e->tree >= 0)
        close(e->tree);
}

/* Without the interface, or without a platform behind it (ENXIO), there is no evidence to be had. */
static int absent(int rc)
{
    return rc == -ENOENT || rc == -ENOTDIR || rc == -ENXIO ? -ENODEV : rc;
}

static int entry_make(const char *tree, struct entry *e)
{
    int rc = 0;

    e->tree = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->tree < 0)
        return absent(-errno);
    for (unsigned i = 0; i < NAME_TRIES; i++) {
        char name[NAME_SIZE];

        rc = name_make(name);
        if (rc == 0 && mkdirat(e->tree, name, 0700) < 0)
            rc = -errno;
        if (rc == 0)
            memcpy(e->name, name, sizeof name);
        if (rc != -EEXIST)
            break;
    }
    if (rc < 0)
        return absent(rc);
    e->folder = openat(e->tree, e->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return e->folder < 0 ? -errno : 0;
}

static int ask(const char *tree, const uint8_t *data, unsigned timeout_ms, struct evidence *e)
{
    static const struct timespec pause = { .tv_nsec = PAUSE_NS };
    CLEANUP(entry_done)
    struct entry entry = { .tree = -1, .folder = -1 };
    uint64_t end = now_ms() + timeout_ms;
    int rc = entry_make(tree, &entry);

    if (rc < 0)
        return rc;
    while ((rc = attempt(&entry, data, e)) == -EBUSY && now_ms() < end)
        nanosleep(&pause, NULL);
    return rc == -ENXIO ? -ENODEV : rc;
}

int evidence_get(const char *tree, const uint8_t report_data[EVIDENCE_REPORT_DATA_SIZE],
                 unsigned timeout_ms, struct evidence *ret)
{
    struct evidence e = { 0 };
    int rc;

    e.pages = mmap(NULL, PAGES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (e.pages == MAP_FAILED)
        return -ENOMEM;
    rc = ask(tree, report_data, timeout_ms, &e);
    if (rc < 0) {
        evidence_done(&e);
        return rc;
    }
    *ret = e;
    return 0;
}

void evidence_done(struct evidence *e)
{
    if (e->pages)
        munmap(e->pages, PAGES_SIZE);
    *e = (struct evidence){ 0 };
}
