/* SPDX-License-Identifier: Apache-2.0 */
/* Finds functions in the vDSO (ELF gABI; kernel Documentation/ABI/stable/vdso). Untrusted side. */
#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "host/sgx/device/device.h"

struct vdso {
    uint64_t bias;
    const Elf64_Sym *symbols;
    const char *strings;
    uint32_t count;
};

/* The number of symbols follows from either hash table. */
static uint32_t count_gnu_hash(const uint32_t *hash)
{
    uint32_t buckets = hash[0], first = hash[1], bloom = hash[2], last = 0;
    const uint32_t *bucket = hash + 4 + bloom * 2, *chain = bucket + buckets;

    for (uint32_t i = 0; i < buckets; i++)
        if (bucket[i] > last)
            last = bucket[i];
    if (last < first)
        return first;
    while (!(chain[last - first] & 1))
        last++;
    return last + 1;
}

static bool vdso_load(struct vdso *ret)
{
    const uint8_t *base = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *eh = (const void *)base;
    const Elf64_Dyn *dyn = NULL;
    bool has_load = false;

    *ret = (struct vdso){ 0 };
    if (!base || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    const Elf64_Phdr *ph = (const void *)(base + eh->e_phoff);

    for (unsigned i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && !has_load) {
            ret->bias = (uint64_t)base + ph[i].p_offset - ph[i].p_vaddr;
            has_load = true;
        } else if (ph[i].p_type == PT_DYNAMIC) {
            dyn = (const void *)(base + ph[i].p_offset);
        }
    }
    for (; has_load && dyn && dyn->d_tag != DT_NULL; dyn++) {
        const void *p = (const void *)(ret->bias + dyn->d_un.d_ptr);

        if (dyn->d_tag == DT_SYMTAB)
            ret->symbols = p;
        else if (dyn->d_tag == DT_STRTAB)
            ret->strings = p;
        else if (dyn->d_tag == DT_HASH)
            ret->count = ((const uint32_t *)p)[1];
        else if (dyn->d_tag == DT_GNU_HASH && !ret->count)
            ret->count = count_gnu_hash(p);
    }
    return ret->symbols && ret->strings && ret->count;
}

const void *device_vdso_find(const char *name, size_t *ret_size)
{
    struct vdso v;

    if (!vdso_load(&v))
        return NULL;
    for (uint32_t i = 0; i < v.count; i++) {
        const Elf64_Sym *s = &v.symbols[i];

        if (s->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s->st_info) != STT_FUNC ||
            strcmp(v.strings + s->st_name, name) != 0)
            continue;
        *ret_size = s->st_size;
        return (const void *)(v.bias + s->st_value);
    }
    return NULL;
}

uint64_t device_vdso_find_enclu(const void *code, size_t size)
{
    static const uint8_t enclu[3] = { 0x0f, 0x01, 0xd7 };
    const uint8_t *p = code;

    for (size_t i = 0; i + sizeof enclu <= size; i++)
        if (memcmp(p + i, enclu, sizeof enclu) == 0)
            return (uint64_t)(p + i);
    return 0;
}
