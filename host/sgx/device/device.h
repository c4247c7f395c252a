/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SGX through Linux's driver (asm/sgx.h, Documentation/arch/x86/sgx.rst): what the parts of
 * host/sgx/device share. Untrusted side.
 */
#pragma once

#include <asm/sgx.h>
#include <stddef.h>

#include "host/sgx/backend.h"

#define DEVICE_ENCLAVE "/dev/sgx_enclave"
#define DEVICE_PROVISION "/dev/sgx_provision"

/* EDMM came with Linux 6.0; older headers lack it. */
#ifndef SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS
struct sgx_enclave_restrict_permissions {
    __u64 offset;
    __u64 length;
    __u64 permissions;
    __u64 result;
    __u64 count;
};
struct sgx_enclave_modify_types {
    __u64 offset;
    __u64 length;
    __u64 page_type;
    __u64 result;
    __u64 count;
};
struct sgx_enclave_remove_pages {
    __u64 offset;
    __u64 length;
    __u64 count;
};
#define SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS                                                       \
    _IOWR(SGX_MAGIC, 0x05, struct sgx_enclave_restrict_permissions)
#define SGX_IOC_ENCLAVE_MODIFY_TYPES _IOWR(SGX_MAGIC, 0x06, struct sgx_enclave_modify_types)
#define SGX_IOC_ENCLAVE_REMOVE_PAGES _IOWR(SGX_MAGIC, 0x07, struct sgx_enclave_remove_pages)
#endif

/* Our own declarations against the kernel's. */
#define DEVICE_SAME(ours, theirs)                                                                  \
    _Static_assert(offsetof(struct sgx_run, ours) == offsetof(struct sgx_enclave_run, theirs) &&   \
                       sizeof(((struct sgx_run *)0)->ours) ==                                      \
                           sizeof(((struct sgx_enclave_run *)0)->theirs),                          \
                   "sgx_enclave_run." #theirs)
_Static_assert(sizeof(struct sgx_run) == sizeof(struct sgx_enclave_run), "sgx_enclave_run");
DEVICE_SAME(tcs, tcs);
DEVICE_SAME(function, function);
DEVICE_SAME(exception_vector, exception_vector);
DEVICE_SAME(exception_error_code, exception_error_code);
DEVICE_SAME(exception_addr, exception_addr);
DEVICE_SAME(user_handler, user_handler);
DEVICE_SAME(user_data, user_data);
DEVICE_SAME(reserved, reserved);
_Static_assert(sizeof(struct sgx_enclave_create) == 8, "uAPI");
_Static_assert(sizeof(struct sgx_enclave_add_pages) == 48, "uAPI");
_Static_assert(sizeof(struct sgx_enclave_init) == 8, "uAPI");
_Static_assert(sizeof(struct sgx_enclave_provision) == 8, "uAPI");
_Static_assert(sizeof(struct sgx_enclave_restrict_permissions) == 40, "uAPI");
_Static_assert(sizeof(struct sgx_enclave_modify_types) == 40, "uAPI");
_Static_assert(sizeof(struct sgx_enclave_remove_pages) == 24, "uAPI");
_Static_assert(offsetof(struct sgx_enclave_add_pages, count) == 40, "uAPI");
_Static_assert(offsetof(struct sgx_enclave_restrict_permissions, result) == 24, "uAPI");
_Static_assert(offsetof(struct sgx_enclave_modify_types, count) == 32, "uAPI");
_Static_assert(SGX_PAGE_MEASURE == 1, "uAPI");
_Static_assert(SGX_IOC_ENCLAVE_CREATE == _IOW(0xa4, 0x00, struct sgx_enclave_create), "uAPI");
_Static_assert(SGX_IOC_ENCLAVE_REMOVE_PAGES == _IOWR(0xa4, 0x07, struct sgx_enclave_remove_pages),
               "uAPI");

/* device_vdso.c: the address of a function of the vDSO, NULL when it has none of this name. */
const void *device_vdso_find(const char *name, size_t *ret_size);
/* Address of the first ENCLU in code[0..size), 0 when there is none: the vDSO's AEP. */
uint64_t device_vdso_find_enclu(const void *code, size_t size);

/* device_probe.c: what stands in the way of `path`. */
enum device_state {
    DEVICE_USABLE,      /* SGX with EDMM */
    DEVICE_USABLE_SGX1, /* usable, but no EDMM: the CPU or the kernel lacks it */
    DEVICE_CPU_LACKS_SGX,
    DEVICE_FIRMWARE_DISABLED,
    DEVICE_CPU_LACKS_LAUNCH_CONTROL,
    DEVICE_MISSING,     /* no device node */
    DEVICE_FORBIDDEN,   /* EACCES or EPERM */
    DEVICE_FOREIGN,     /* there, but not SGX's */
    DEVICE_UNREACHABLE, /* another error of open */
    DEVICE_VDSO_MISSING,
    DEVICE_STATE_COUNT,
};
enum device_state device_probe(const char *path);
/* One line for people; static text. */
const char *device_state_text(enum device_state state);
