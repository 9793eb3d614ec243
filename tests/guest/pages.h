/*
 * The pages of the programs that guests run, and the clock of both.
 *
 * A page is made from its number and a version: half noise, half a counter, so that it compresses to about half.
 */
#include <stdint.h>
#include <time.h>

enum { PAGE_BYTES = 4096, WORDS = PAGE_BYTES / 8, PAGES_PER_MIB = 256 };

static int64_t now_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t next(uint64_t *state)
{
	/* splitmix64 (Steele, Lea, Flood 2014). */
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void make_page(uint64_t *page, uint64_t number, uint64_t version)
{
	uint64_t state = number << 8 | version;

	for (int word = 0; word < WORDS / 2; word++)
		page[word] = next(&state);
	for (int word = WORDS / 2; word < WORDS; word++)
		page[word] = number + version;
}
