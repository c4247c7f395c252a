/* SPDX-License-Identifier: Apache-2.0 */
/* Which TCB level a platform has, and what its parts make of it. Relying party; pure. */
#include <string.h>

#include "verifier/intel/tcb.h"

static const char *const g_status_names[VERIFIER_TCB_STATUS_COUNT] = {
    [VERIFIER_TCB_NONE] = "none",
    [VERIFIER_TCB_UP_TO_DATE] = "UpToDate",
    [VERIFIER_TCB_SW_HARDENING_NEEDED] = "SWHardeningNeeded",
    [VERIFIER_TCB_CONFIGURATION_NEEDED] = "ConfigurationNeeded",
    [VERIFIER_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED] = "ConfigurationAndSWHardeningNeeded",
    [VERIFIER_TCB_OUT_OF_DATE] = "OutOfDate",
    [VERIFIER_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED] = "OutOfDateConfigurationNeeded",
    [VERIFIER_TCB_TD_RELAUNCH_ADVISED] = "TDRelaunchAdvised",
    [VERIFIER_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED] =
        "TDRelaunchAdvisedConfigurationNeeded",
    [VERIFIER_TCB_REVOKED] = "Revoked",
    [VERIFIER_TCB_NOT_SUPPORTED] = "TCB_NOT_SUPPORTED",
};

const char *verifier_tcb_status_name(enum verifier_tcb_status status)
{
    return g_status_names[status < VERIFIER_TCB_STATUS_COUNT ? status : VERIFIER_TCB_NONE];
}

enum verifier_tcb_status tcb_status_of_name(const char *name)
{
    /* What Intel lists; the relaunch statuses and "not supported" are results only. */
    for (unsigned i = VERIFIER_TCB_UP_TO_DATE; i < VERIFIER_TCB_STATUS_COUNT; i++)
        if (i != VERIFIER_TCB_NOT_SUPPORTED && i != VERIFIER_TCB_TD_RELAUNCH_ADVISED &&
            i != VERIFIER_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED &&
            strcmp(g_status_names[i], name) == 0)
            return i;
    return VERIFIER_TCB_NONE;
}

static bool reaches(const uint8_t *platform, const uint8_t *level, unsigned from)
{
    for (unsigned i = from; i < VERIFIER_SVN_COUNT; i++)
        if (platform[i] < level[i])
            return false;
    return true;
}

const struct tcb_level *tcb_level_find(const struct tcb_info *info,
                                       const uint8_t sgx_svn[VERIFIER_SVN_COUNT], uint16_t pce_svn,
                                       const uint8_t *tdx_svn)
{
    for (unsigned i = 0; i < info->level_count; i++) {
        const struct tcb_level *level = &info->levels[i];

        if (!reaches(sgx_svn, level->sgx_svn, 0) || pce_svn < level->pce_svn)
            continue;
        /* With a module version the first two are matched by the module's identity. */
        if (tdx_svn && !reaches(tdx_svn, level->tdx_svn, tdx_svn[1] > 0 ? 2 : 0))
            continue;
        return level;
    }
    return NULL;
}

const struct tcb_isv_level *tcb_isv_level_find(const struct tcb_isv_levels *tcb, uint16_t isv_svn)
{
    for (unsigned i = 0; i < tcb->count; i++)
        if (isv_svn >= tcb->levels[i].isv_svn)
            return &tcb->levels[i];
    return NULL;
}

const struct tcb_module *tcb_module_find(const struct tcb_info *info, uint8_t version)
{
    if (version == 0)
        return info->has_module ? &info->module : NULL;
    for (unsigned i = 0; i < info->module_count; i++)
        if (info->modules[i].version == version)
            return &info->modules[i];
    return NULL;
}

enum verifier_tcb_status tcb_status_converge(enum verifier_tcb_status platform,
                                             enum verifier_tcb_status part)
{
    if (part == VERIFIER_TCB_REVOKED || platform == VERIFIER_TCB_REVOKED)
        return VERIFIER_TCB_REVOKED;
    if (part != VERIFIER_TCB_OUT_OF_DATE)
        return platform;
    switch (platform) {
    case VERIFIER_TCB_UP_TO_DATE:
    case VERIFIER_TCB_SW_HARDENING_NEEDED:
        return VERIFIER_TCB_OUT_OF_DATE;
    case VERIFIER_TCB_CONFIGURATION_NEEDED:
    case VERIFIER_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED:
        return VERIFIER_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
    default:
        return platform;
    }
}
