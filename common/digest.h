/* SPDX-License-Identifier: Apache-2.0 */
/* digest - SHA-256 in hexadecimal, HMAC, and random identifiers, by OpenSSL and the kernel. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_HEX_MAX = 65, UUID_TEXT_MAX = 37 };

/* @hex holds SHA256_HEX_MAX bytes. Returns @hex. */
char *sha256_hex(const void *data, size_t len, char *hex);

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		 uint8_t out[SHA256_BYTES]);

/* Lower-case hexadecimal of @len bytes into @hex (2 * len + 1). Returns @hex. */
char *hex_encode(const uint8_t *data, size_t len, char *hex);

/* @digits lower-case hexadecimal digits from the kernel's random pool, NUL-terminated. */
char *random_hex(char *buf, size_t digits);

/* A random (version 4) UUID. @buf holds UUID_TEXT_MAX. Returns @buf. */
char *random_uuid(char *buf);
