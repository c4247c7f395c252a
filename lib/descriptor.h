/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptor: what a sealed image runs and what the host may set (DESIGN section 4,
 * docs/image.md). Canonical JSON; its SHA-384 is the app digest. Shared: builder, inspect, loader and
 * the library OS read it with this code. Input may be hostile. No allocation: strings point into the
 * arena that the caller gives.
 */
#pragma once

#include "lib/digest.h"

#define DESCRIPTOR_VERSION 1u
#define DESCRIPTOR_ARGS_MAX 1024u
#define DESCRIPTOR_ENV_MAX 1024u
#define DESCRIPTOR_MOUNTS_MAX 32u
#define DESCRIPTOR_GROUPS_MAX 256u
#define DESCRIPTOR_NUMBER_MAX (1ull << 53)  /* what every reader of JSON holds exactly */
#define DESCRIPTOR_MEMORY_MIN (32ull << 20) /* bytes */
#define DESCRIPTOR_URLS_MAX 8u
#define DESCRIPTOR_URL_LEN_MAX 255u
#define DESCRIPTOR_START_LIMIT_MAX 86400u /* seconds */

enum descriptor_mount_kind {
    DESCRIPTOR_MOUNT_TMPFS,
    DESCRIPTOR_MOUNT_HOST, /* untrusted host folder */
};

struct descriptor_env {
    const char *name;
    const char *value; /* NULL: the host may set it */
};

struct descriptor_mount {
    enum descriptor_mount_kind kind;
    const char *path; /* absolute, in the image */
    uint64_t size;    /* tmpfs: bytes, 0 = bounded by memory only */
    bool read_only;
};

/* Whom the agent asks for certificate and secrets before the workload starts (docs/agent.md). */
struct descriptor_server {
    uint8_t ca_key_sha256[32]; /* of the CA root's SubjectPublicKeyInfo */
    const char *reload_signal; /* to the workload when what it has was replaced; "": none */
    uint32_t start_limit_s;    /* how long an answer is waited for at the start; 1 or more */
    uint32_t urls_count;       /* 1 to DESCRIPTOR_URLS_MAX */
    const char *const *urls;   /* "https://host:port", no path */
};

/* Order and names of the members are those of the JSON object (snake_case), see docs/image.md. */
struct descriptor {
    uint32_t version;
    const char *name; /* from the image reference or file name */
    uint8_t verity_root[32];
    uint8_t verity_salt[32];
    uint32_t verity_salt_size; /* 0 to 32 */
    uint64_t rootfs_size;      /* bytes, multiple of the block size */
    uint32_t args_count;       /* entry point and command, joined */
    const char *const *args;
    bool args_from_host; /* the host may replace what follows args_fixed */
    uint32_t args_fixed; /* how many of args the host cannot change */
    uint32_t env_count;
    const struct descriptor_env *env;
    const char *workdir;
    uint32_t uid, gid;
    uint32_t groups_count;
    const uint32_t *groups;
    const char *hostname;
    uint32_t mounts_count;
    const struct descriptor_mount *mounts;
    uint64_t memory_size; /* bytes the enclave may commit */
    uint32_t threads_max;
    uint64_t elrange_size;
    bool debug;      /* SECS.DEBUG; never in production */
    bool host_files; /* the host supplies /etc/resolv.conf, /etc/hosts, /etc/hostname */
    const struct descriptor_server *server; /* NULL: none, the image runs by itself */
    const char *stop_signal;                /* "SIGTERM" */
};

/*
 * arena: arena_size bytes for strings and arrays; 4 times json_size + 4096 is always enough.
 * ret_error: a static text that names what is wrong, for people; set on failure.
 * returns: 0; -EINVAL malformed, unknown member, not canonical, out of range; -ENOSPC arena too small.
 */
MUST_CHECK int descriptor_parse(const char *json, size_t json_size, void *arena, size_t arena_size,
                                struct descriptor *ret, const char **ret_error);

/* Canonical JSON into dst. returns: bytes written; -ENOSPC. descriptor_parse reads it back equal. */
MUST_CHECK int64_t descriptor_encode(const struct descriptor *d, char *dst, size_t dst_size);

/* "https://host" or "https://host:port"; host is a name, an IPv4 address, or an IPv6 address in brackets. */
bool descriptor_url_is_valid(const char *url);

/* The rules for values that parse enforces. returns: NULL, or what is wrong: "member: reason". */
const char *descriptor_check(const struct descriptor *d);
