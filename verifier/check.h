/* SPDX-License-Identifier: Apache-2.0 */
/* How the parts of the verifier record what they checked. Relying party; within verifier/. */
#pragma once

#include "verifier/verifier.h"

/* Values for expected and actual. */
struct verifier_value value_bytes(const void *bytes, size_t size); /* cut to 64 */
struct verifier_value value_uint(uint64_t number);
struct verifier_value value_time(int64_t time_s);
struct verifier_value value_text(const char *text); /* static */
struct verifier_value value_copy(const char *text); /* copied, cut to 63 characters */

/* A check that failed stays failed, and keeps its first values. */
void check_pass(struct verifier_result *result, enum verifier_check_code code);
void check_fail(struct verifier_result *result, enum verifier_check_code code, const char *item);
void check_fail_values(struct verifier_result *result, enum verifier_check_code code,
                       const char *item, struct verifier_value expected,
                       struct verifier_value actual);
/* pass or fail; returns good. */
bool check_that(struct verifier_result *result, enum verifier_check_code code, bool good,
                const char *item);
/* Equal bytes (at most 64); returns whether. */
bool check_bytes(struct verifier_result *result, enum verifier_check_code code, const char *item,
                 const void *expected, const void *actual, size_t size);

/*
 * The dates of one item: before `from`, code_before fails; after `until`, code_after. now_s 0: neither is made. *ret_until_s
 * becomes the earlier of itself and until.
 */
void check_dates(struct verifier_result *result, const char *item, int64_t now_s, int64_t from_s,
                 int64_t until_s, enum verifier_check_code code_before,
                 enum verifier_check_code code_after, int64_t *ret_until_s);
