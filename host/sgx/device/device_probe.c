/* SPDX-License-Identifier: Apache-2.0 */
/* Can this machine run enclaves in hardware, and if not, what is missing? Untrusted side. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "host/sgx/device/device.h"

/* CPUID leaf 7: EBX bit 2 SGX, ECX bit 30 launch control; leaf 12H: EAX bit 0 SGX1. */
static enum device_state probe_cpu(void)
{
    uint32_t eax, ebx, ecx, edx;

    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & 1u << 2))
        return DEVICE_CPU_LACKS_SGX;
    if (!(ecx & 1u << 30))
        return DEVICE_CPU_LACKS_LAUNCH_CONTROL;
    if (!__get_cpuid_count(0x12, 0, &eax, &ebx, &ecx, &edx) || !(eax & 1))
        return DEVICE_FIRMWARE_DISABLED;
    return DEVICE_MISSING;
}

/* An EDMM call on a file that has no enclave yet: the error says who lacks what. */
static enum device_state probe_driver(int fd)
{
    struct sgx_enclave_create create = { .src = 1 }; /* not page-aligned: refused by SGX's driver */
    struct sgx_enclave_restrict_permissions edmm = { 0 };
    int rc = ioctl(fd, SGX_IOC_ENCLAVE_CREATE, &create);

    if (rc == 0 || errno == ENOTTY)
        return DEVICE_FOREIGN;
    if (ioctl(fd, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &edmm) < 0 &&
        (errno == ENOTTY || errno == ENODEV))
        return DEVICE_USABLE_SGX1;
    return DEVICE_USABLE;
}

enum device_state device_probe(const char *path)
{
    size_t size;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        if (errno == EACCES || errno == EPERM)
            return DEVICE_FORBIDDEN;
        return errno == ENOENT || errno == ENXIO || errno == ENODEV ? probe_cpu()
                                                                    : DEVICE_UNREACHABLE;
    }
    enum device_state state = probe_driver(fd);

    close(fd);
    if (state != DEVICE_FOREIGN && !device_vdso_find("__vdso_sgx_enter_enclave", &size))
        state = DEVICE_VDSO_MISSING;
    return state;
}

const char *device_state_text(enum device_state state)
{
    static const char *const texts[DEVICE_STATE_COUNT] = {
        [DEVICE_USABLE] = "SGX hardware with EDMM",
        [DEVICE_USABLE_SGX1] =
            "SGX hardware without EDMM (it needs SGX2 in the CPU and Linux 6.0): "
            "enclave memory has a fixed size",
        [DEVICE_CPU_LACKS_SGX] =
            "no SGX hardware: the CPU does not have SGX, or the hypervisor hides it",
        [DEVICE_FIRMWARE_DISABLED] =
            "no SGX hardware: the CPU has SGX, but the firmware (BIOS) has it "
            "switched off",
        [DEVICE_CPU_LACKS_LAUNCH_CONTROL] =
            "no SGX hardware: the CPU lacks flexible launch control, "
            "which Linux needs; or the firmware has it locked",
        [DEVICE_MISSING] =
            "the CPU has SGX, but there is no " DEVICE_ENCLAVE
            ": the kernel lacks CONFIG_X86_SGX, or the container was started without "
            "--device " DEVICE_ENCLAVE,
        [DEVICE_FORBIDDEN] =
            DEVICE_ENCLAVE " is there, but this user may not open it: join its group "
                           "(often sgx), or start the container with "
                           "--device " DEVICE_ENCLAVE,
        [DEVICE_FOREIGN] = DEVICE_ENCLAVE " is not Linux's SGX device (an out-of-tree driver?)",
        [DEVICE_UNREACHABLE] = DEVICE_ENCLAVE " cannot be opened",
        [DEVICE_VDSO_MISSING] =
            DEVICE_ENCLAVE " is there, but the vDSO lacks "
                           "__vdso_sgx_enter_enclave (Linux 5.11 or later has it)",
    };

    return texts[state];
}
