/* SPDX-License-Identifier: Apache-2.0 */
/* EREPORT and EGETKEY for the library OS and the agent. Trusted. */
#pragma once

#include "abi/sgx_arch.h"

/* A report about this enclave for the enclave that target describes, over 64 bytes of data.
 * returns: 0; -EINVAL the CPU takes no such TARGETINFO (reserved bytes that are not zero). */
MUST_CHECK int sgx_report_create(const struct sgx_targetinfo *target, const uint8_t data[64],
                                 struct sgx_report *ret);
/* What others need for reports that this enclave can verify. returns: 0; -EINVAL there is no EREPORT: an emulator
 * without its key file. */
MUST_CHECK int sgx_targetinfo_get(struct sgx_targetinfo *ret);
/* returns: 0 the report was made on this CPU for this enclave; -EBADMSG it was not. */
MUST_CHECK int sgx_report_verify(const struct sgx_report *report);
/* A key that only this CPU gives, only to enclaves that the request's policy lets have it.
 * returns: 0; -EINVAL the request is malformed or asks for a newer SVN than the enclave has. */
MUST_CHECK int sgx_key_get(const struct sgx_keyrequest *request, uint8_t ret_key[16]);
