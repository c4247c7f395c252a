/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of the policy's JSON, a file each. Relying party; within verifier/policy/. All return 0, -EINVAL with the reader's error, or -ENOMEM. */
#pragma once

#include "verifier/json_read.h"
#include "verifier/policy/policy.h"

/* An object; a member of another name is refused. */
int policy_read_members(struct json_pull *j, const struct json_member *members, unsigned count);

/* Values, as json_read_fn; dst is bool; the same, negated; char[POLICY_NAME_SIZE]; int64_t. */
int policy_read_bool(struct json_pull *j, void *dst);
int policy_read_not(struct json_pull *j, void *dst);
int policy_read_name(struct json_pull *j, void *dst);
int policy_read_time(struct json_pull *j, void *dst);
/* struct policy_bytes of so many bytes. */
int policy_read_16(struct json_pull *j, void *dst);
int policy_read_32(struct json_pull *j, void *dst);
int policy_read_48(struct json_pull *j, void *dst);
int policy_read_64(struct json_pull *j, void *dst);
int policy_read_8_bytes_or_more(struct json_pull *j, struct policy_bytes *dst);

/* {"value": hex, "mask": hex}, in the order of the evidence; dst is struct policy_bits, or two of them. */
int policy_read_bits_32(struct json_pull *j, void *dst);
int policy_read_bits_64(struct json_pull *j, void *dst);
int policy_read_bits_128(struct json_pull *j, void *dst);
/* Takes true or false for one bit. */
int policy_read_bit(struct json_pull *j, struct policy_bits *dst, unsigned bit);

/* The parts of a policy; dst is struct verifier_policy. */
int policy_read_identities(struct json_pull *j, void *dst);
int policy_read_intel(struct json_pull *j, void *dst);
int policy_read_amd(struct json_pull *j, void *dst);
