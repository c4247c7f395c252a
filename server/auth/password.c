/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords and one-time codes. Relying party. */
#include "server/auth/password.h"

#include <argon2.h>
#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/ct.h"

#define SALT_SIZE 16u
#define HASH_SIZE 32u
#define TEXT_OF_(number) #number
#define TEXT_OF(number) TEXT_OF_(number)

static struct {
    pthread_mutex_t lock; /* guards all */
    pthread_cond_t freed;
    unsigned running, waiting;
} g_hashes = { .lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER };

/* A place among those that hash. returns: 0; -EAGAIN. */
static int place_take(void)
{
    int rc = 0;

    pthread_mutex_lock(&g_hashes.lock);
    if (g_hashes.running >= PASSWORD_HASHES_MAX && g_hashes.waiting >= PASSWORD_WAITERS_MAX) {
        rc = -EAGAIN;
    } else {
        g_hashes.waiting++;
        while (g_hashes.running >= PASSWORD_HASHES_MAX)
            pthread_cond_wait(&g_hashes.freed, &g_hashes.lock);
        g_hashes.waiting--;
        g_hashes.running++;
    }
    pthread_mutex_unlock(&g_hashes.lock);
    return rc;
}

static void place_give(void)
{
    pthread_mutex_lock(&g_hashes.lock);
    g_hashes.running--;
    pthread_cond_signal(&g_hashes.freed);
    pthread_mutex_unlock(&g_hashes.lock);
}

int password_hash(const char *password, char ret[USER_PASSWORD_SIZE])
{
    uint8_t salt[SALT_SIZE];
    int rc;

    if (RAND_bytes(salt, sizeof salt) != 1)
        return -EIO;
    rc = place_take();
    if (rc < 0)
        return rc;
    rc = argon2id_hash_encoded(PASSWORD_PASSES, PASSWORD_MEMORY_KIB, 1, password, strlen(password),
                               salt, sizeof salt, HASH_SIZE, ret, USER_PASSWORD_SIZE);
    place_give();
    return rc == ARGON2_OK ? 0 : -ENOMEM;
}

int password_verify(const char *encoded, const char *password)
{
    /* Of no password: nobody has one of this hash. */
    static const char nobody[] = "$argon2id$v=19$m=" TEXT_OF(PASSWORD_MEMORY_KIB) ",t=" TEXT_OF(
        PASSWORD_PASSES) ",p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    int rc = place_take();

    if (rc < 0)
        return rc;
    rc = argon2id_verify(encoded[0] ? encoded : nobody, password, strlen(password));
    place_give();
    if (rc == ARGON2_MEMORY_ALLOCATION_ERROR)
        return -ENOMEM;
    return rc == ARGON2_OK && encoded[0] ? 0 : -EACCES;
}

void totp_code(const uint8_t secret[TOTP_SECRET_SIZE], int64_t step, char ret[7])
{
    uint8_t message[8], mac[20];
    unsigned size = sizeof mac, off;
    uint32_t number;

    for (unsigned i = 0; i < 8; i++)
        message[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
    HMAC(EVP_sha1(), secret, TOTP_SECRET_SIZE, message, sizeof message, mac, &size);
    off = mac[19] & 0xf;
    number = ((uint32_t)(mac[off] & 0x7f) << 24) | (uint32_t)mac[off + 1] << 16 |
             (uint32_t)mac[off + 2] << 8 | mac[off + 3];
    snprintf(ret, 7, "%06u", number % 1000000);
}

bool totp_verify(const uint8_t secret[TOTP_SECRET_SIZE], const char *code, int64_t now_s,
                 int64_t *step)
{
    int64_t found = 0;

    if (strlen(code) != 6)
        return false;
    for (int64_t s = now_s / TOTP_STEP_S - 1; s <= now_s / TOTP_STEP_S + 1; s++) {
        char right[7];

        totp_code(secret, s, right);
        if (ct_equal(right, code, 6) && s > *step && found == 0)
            found = s;
        ct_wipe(right, sizeof right);
    }
    if (found == 0)
        return false;
    *step = found;
    return true;
}
