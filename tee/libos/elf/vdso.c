/* SPDX-License-Identifier: Apache-2.0 */
/* Maps the vDSO into a process. Trusted. The image is ours (tee/libos/elf/vdso) and part of the enclave. */
#include "tee/libos/elf/vdso/vdso.h"

#include <linux/errno.h>
#include <linux/mman.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/string.h"
#include "tee/libos/elf/elf_private.h"

/* Offset of vdso_clock_data_slot in the image; -ENOENT when the build has gone wrong. */
static int64_t slot_find(void)
{
    const uint64_t magic = VDSO_SLOT_MAGIC;

    for (size_t off = 0; off + sizeof magic <= vdso_image_size; off += sizeof magic)
        if (memcmp(vdso_image + off, &magic, sizeof magic) == 0)
            return (int64_t)off;
    return -ENOENT;
}

int vdso_map(struct mm *mm, uintptr_t *ret_addr)
{
    uint64_t data = (uint64_t)(uintptr_t)clock_data();
    size_t size = ALIGN_UP(vdso_image_size, PAGE_SIZE);
    int64_t slot = slot_find();
    uintptr_t at;
    int rc;

    if (slot < 0)
        return (int)slot;
    at = mm_vdso_get(mm, size);
    if (at) {
        *ret_addr = at;
        return 0;
    }
    rc = mm_image_place(mm, size, &at);
    if (rc == 0)
        rc = mm_map_named(mm, &at, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, "[vdso]");
    if (rc == 0)
        rc = user_copy_out_mm(mm, at, vdso_image, vdso_image_size);
    if (rc == 0)
        rc = user_copy_out_mm(mm, at + (size_t)slot, &data, sizeof data);
    if (rc == 0)
        rc = mm_protect(mm, at, size, PROT_READ | PROT_EXEC);
    if (rc < 0)
        return rc;
    mm_vdso_set(mm, at);
    *ret_addr = at;
    return 0;
}
