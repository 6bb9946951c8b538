/* Secret bytes in the secure heap. It decides where they live and when they are cleared, not who
 * may see them. */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define SMALLEST_BYTES 64

struct secret {
	size_t len;
	unsigned char bytes[];
};

static size_t heap_size;

enum err secret_init(size_t heap_bytes, int *locked)
{
	int made;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	if (CRYPTO_secure_malloc_initialized()) {
		*locked = 1;
		return ERR_OK;
	}
	heap_size = heap_bytes;
	made = CRYPTO_secure_malloc_init(heap_bytes, SMALLEST_BYTES);
	*locked = made == 1;
	return made ? ERR_OK : ERR_NO_MEMORY;
}

static void release(void *handle)
{
	secret_free(handle);
}

int secret_heap_is_tight(void)
{
	return CRYPTO_secure_used() * 2 > heap_size;
}

struct secret *secret_new(struct work *w, const void *bytes, size_t n)
{
	struct secret *secret = OPENSSL_secure_zalloc(sizeof(*secret) + n + 1);

	if (!secret)
		return NULL;
	secret->len = n;
	if (bytes && n)
		memcpy(secret->bytes, bytes, n);
	if (w)
		work_defer(w, release, secret);
	return secret;
}

void secret_free(struct secret *secret)
{
	if (secret)
		OPENSSL_secure_clear_free(secret, sizeof(*secret) + secret->len + 1);
}

size_t secret_len(const struct secret *secret)
{
	return secret ? secret->len : 0;
}

const char *secret_reveal(const struct secret *secret)
{
	return (const char *)secret->bytes;
}

unsigned char *secret_fill(struct secret *secret)
{
	return secret->bytes;
}

void secret_wipe(void *bytes, size_t n)
{
	OPENSSL_cleanse(bytes, n);
}

int secret_equal(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && CRYPTO_memcmp(a->bytes, b->bytes, a->len) == 0;
}
