/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame through which an OCALL and its answer pass: one per thread, in untrusted memory, made by
 * the loader. The enclave writes number and arguments, leaves by EEXIT, and reads the answer once. The
 * rows are in ocall.def. Shared.
 */
#pragma once

#include "lib/defs.h"

#define OCALL_ARGS_MAX 6u
#define OCALL_BUFFER_SIZE (256u * 1024)
#define OCALL_ADDR_SIZE 128u
#define OCALL_PATH_SIZE 4096u
#define OCALL_STAT_OFF (2 * OCALL_PATH_SIZE)
#define OCALL_POLL_COUNT_MAX 1024u
#define OCALL_EVENT_COUNT_MAX 256u
#define OCALL_OPTION_SIZE_MAX 256u
#define OCALL_DESCRIPTOR_MAX 0xfffffu
#define OCALL_FOREVER UINT64_MAX

enum ocall_number {
    OCALL_INVALID = 0,
#define OCALL(name, result, errors, needs) OCALL_##name,
#include "abi/ocall.def"
#undef OCALL
    OCALL_COUNT,
};

struct ocall_frame {
    uint64_t number; /* enum ocall_number */
    uint64_t args[OCALL_ARGS_MAX];
    int64_t result;   /* host: 0 or positive, or negative errno */
    uint64_t out[4];  /* host: further small results */
    uint64_t signals; /* host: bit n-1 = signal n came for the enclave since the last time */
    uint64_t reserved[3];
    uint8_t buffer[OCALL_BUFFER_SIZE];
};
_Static_assert(offsetof(struct ocall_frame, buffer) % 64 == 0, "buffer is aligned");

/* An entry of OCALL poll. */
struct ocall_pollfd {
    int32_t host_fd;
    uint16_t events; /* POLLIN... */
    uint16_t revents;
};
_Static_assert(sizeof(struct ocall_pollfd) == 8, "ocall_pollfd");

/* What OCALL events_change does. */
enum ocall_event_change { OCALL_EVENT_ADD = 1, OCALL_EVENT_REMOVE, OCALL_EVENT_CHANGE };
/* How OCALL events_wait is woken: an owner is the one thread whose wakes are in the set. */
enum ocall_event_wake { OCALL_EVENT_GUEST, OCALL_EVENT_OWNER, OCALL_EVENT_NEW_OWNER };
/* data of the enclave's own entries has this bit clear. */
#define OCALL_EVENT_OF_HOST (1ull << 63)
/* An entry of OCALL events_wait. */
struct ocall_event {
    uint64_t data;   /* what events_change gave */
    uint32_t events; /* EPOLLIN... */
    uint32_t reserved;
};
_Static_assert(sizeof(struct ocall_event) == 16, "ocall_event");

/* What stat of a host file shows. */
struct ocall_stat {
    uint64_t ino, size, blocks;
    uint32_t mode, nlink, uid, gid;
    int64_t atime_s, mtime_s, ctime_s;
    uint32_t atime_ns, mtime_ns, ctime_ns;
    uint32_t rdev;
};
_Static_assert(sizeof(struct ocall_stat) == 80, "ocall_stat");
