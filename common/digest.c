/* SPDX-License-Identifier: Apache-2.0 */
#include "common/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

char *hex_encode(const uint8_t *data, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[data[i] >> 4];
		hex[2 * i + 1] = digits[data[i] & 15];
	}
	hex[2 * len] = '\0';
	return hex;
}

char *sha256_hex(const void *data, size_t len, char *hex)
{
	uint8_t md[SHA256_BYTES];

	if (EVP_Digest(data, len, md, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* SHA-256 is part of every build of libcrypto; a wrong digest is worse
			    than no process */
	return hex_encode(md, sizeof(md), hex);
}

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		 uint8_t out[SHA256_BYTES])
{
	if (!HMAC(EVP_sha256(), key, (int) key_len, data, len, out, NULL))
		abort(); /* as above */
}

static void random_bytes(uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n > 0) {
			p += n;
			len -= (size_t) n;
		}
	}
}

char *random_hex(char *buf, size_t digits)
{
	uint8_t raw[128];
	char hex[2 * sizeof(raw) + 1];

	if (digits > 2 * sizeof(raw))
		digits = 2 * sizeof(raw);
	random_bytes(raw, (digits + 1) / 2);
	(void) hex_encode(raw, (digits + 1) / 2, hex);
	(void) snprintf(buf, digits + 1, "%s", hex);
	return buf;
}

char *random_uuid(char *buf)
{
	uint8_t u[16];

	random_bytes(u, sizeof(u));
	u[6] = (uint8_t) ((u[6] & 0x0f) | 0x40);
	u[8] = (uint8_t) ((u[8] & 0x3f) | 0x80);
	(void) snprintf(buf, UUID_TEXT_MAX,
			"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
			u[12], u[13], u[14], u[15]);
	return buf;
}
