/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before every measured source by the build: no symbol of the enclave is visible outside, so the
 * compiler addresses all of them relative to RIP (the image lies above 4 GiB). Trusted.
 */
#pragma once
#pragma GCC visibility push(hidden)
