/* SPDX-License-Identifier: Apache-2.0 */
/* See cmac.h. Trusted. */
#include "tee/enclave/cmac.h"

#include "lib/ct.h"
#include "tee/enclave/string.h"

#define BLOCK CMAC_SIZE
#define ROUND_KEYS_SIZE 176u

/* aes_asm.S */
void aes128_expand(const uint8_t key[16], uint8_t ret_round_keys[ROUND_KEYS_SIZE]);
void aes128_encrypt(const uint8_t round_keys[ROUND_KEYS_SIZE], uint8_t block[BLOCK]);

/* Multiplication by x in GF(2^128), without a branch on the secret. */
static void shift_left(uint8_t block[BLOCK])
{
    uint8_t carry = block[0] >> 7;

    for (size_t i = 0; i < BLOCK - 1; i++)
        block[i] = (uint8_t)(block[i] << 1 | block[i + 1] >> 7);
    block[BLOCK - 1] = (uint8_t)(block[BLOCK - 1] << 1);
    block[BLOCK - 1] ^= (uint8_t)(-carry & 0x87);
}

static void mix(uint8_t block[BLOCK], const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        block[i] ^= data[i];
}

void cmac_compute(const uint8_t key[16], const void *data, size_t size, uint8_t ret[CMAC_SIZE])
{
    uint8_t round_keys[ROUND_KEYS_SIZE], subkey[BLOCK] = { 0 }, mac[BLOCK] = { 0 };
    const uint8_t *from = data;

    aes128_expand(key, round_keys);
    for (; size > BLOCK; size -= BLOCK, from += BLOCK) {
        mix(mac, from, BLOCK);
        aes128_encrypt(round_keys, mac);
    }
    aes128_encrypt(round_keys, subkey);
    shift_left(subkey);
    mix(mac, from, size);
    if (size < BLOCK) { /* also when there is no data at all */
        mac[size] ^= 0x80;
        shift_left(subkey);
    }
    mix(mac, subkey, BLOCK);
    aes128_encrypt(round_keys, mac);
    memcpy(ret, mac, BLOCK);
    ct_wipe(round_keys, sizeof round_keys);
    ct_wipe(subkey, sizeof subkey);
    ct_wipe(mac, sizeof mac);
}

void cmac_derive_256(const uint8_t key[16], const void *label, size_t label_size, uint8_t ret[32])
{
    uint8_t text[4 + CMAC_LABEL_SIZE_MAX + 1 + 4] = { 0 };
    size_t size = MIN(label_size, (size_t)CMAC_LABEL_SIZE_MAX);

    memcpy(text + 4, label, size);
    size += 4 + 1;
    text[size + 2] = 1; /* 256 bits */
    size += 4;
    for (uint8_t i = 0; i < 2; i++) {
        text[3] = (uint8_t)(i + 1);
        cmac_compute(key, text, size, ret + i * CMAC_SIZE);
    }
}
