/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloche.yaml: what the publisher changes about an image (docs/image.md has the reference). Relying
 * party. Errors name the file, the line and the key.
 */
#pragma once

#include "builder/arena.h"
#include "lib/descriptor.h"
#include "lib/err.h"

#define BUILD_FILE_SIZE_MAX (1u << 20)

struct build_file_list {
    const char **items;
    size_t count;
};

/* Members that the file does not have are zero. */
struct build_file {
    const char *name;
    bool has_entrypoint;
    struct build_file_list entrypoint;
    bool has_args;
    struct build_file_list args;
    bool has_args_from_host;
    bool args_from_host;
    const struct descriptor_env *env; /* value NULL: from the host */
    size_t env_count;
    const char *workdir;
    const char *user;
    const char *hostname;
    const char *stop_signal;
    bool has_server;
    struct build_file_list server_urls;
    const char *server_ca_key; /* hexadecimal */
    const char *server_reload_signal;
    uint32_t server_start_limit_s; /* 0: the default */
    const struct descriptor_mount *mounts;
    size_t mounts_count;
    uint64_t memory_size;
    uint32_t threads_max;
    uint64_t elrange_size;
    uint16_t isv_prod_id, isv_svn;
    bool host_files;
    bool debug;
};

/*
 * text: the file's content; name: how messages call it. Strings go into the arena.
 * returns: 0; -EINVAL with line and key in err; -ENOMEM.
 */
MUST_CHECK int build_file_parse(const char *text, size_t size, const char *name,
                                struct arena *arena, struct build_file *ret, struct err *err);
MUST_CHECK int build_file_read(const char *path, struct arena *arena, struct build_file *ret,
                               struct err *err);
