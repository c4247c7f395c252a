/* SPDX-License-Identifier: Apache-2.0 */
/* A small organisation in a real store: two approvers with keys, an app, a build that asks for both. See world.c. */
#pragma once

#include <openssl/evp.h>

#include "server/model/app_row.h"
#include "server/model/approval.h"
#include "server/model/build_row.h"
#include "server/model/model.h"
#include "server/model/policy_row.h"

#define WORLD_ORG "org_00000000000000000000000001"
#define WORLD_APP "app_00000000000000000000000001"
#define WORLD_BUILD "bld_00000000000000000000000001"
#define WORLD_KEY_COUNT 3u /* the third is not in the roster */

extern struct server g_server;
extern EVP_PKEY *g_world_keys[WORLD_KEY_COUNT];

int world_setup(void **state);
int world_teardown(void **state);
/* Key's id by number. */
const char *world_key_id(unsigned number);
/* Writes an approval as the server does, signed by this key, over statement (NULL: the right one). */
void world_approve(unsigned key, const char *statement);
/* build_check of the world's build now; why in *ret. */
int world_check(struct err *ret);
/* Statement of the world's build, for free(). */
char *world_statement(void);
