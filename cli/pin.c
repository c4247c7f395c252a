/* SPDX-License-Identifier: Apache-2.0 */
/* Pins of CA roots. Relying party side. */
#include "cli/pin.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "cli/push.h"

bool pin_of_pem(const char *pem, char ret[65])
{
    BIO *bio = pem ? BIO_new_mem_buf(pem, -1) : NULL;
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    uint8_t *spki = NULL, hash[32];
    int size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki) : -1;
    bool is_found = size > 0 && EVP_Digest(spki, (size_t)size, hash, NULL, EVP_sha256(), NULL) == 1;

    if (is_found)
        push_hex(hash, sizeof hash, ret);
    OPENSSL_free(spki);
    X509_free(certificate);
    BIO_free(bio);
    return is_found;
}
