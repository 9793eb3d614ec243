/*
 * The program that a guest runs: it uses more memory than the guest has, so that the kernel swaps, and knows what
 * each of its pages must hold.
 *
 *     hog MEBIBYTES [ROUNDS [BALLAST]]
 *
 * It fills its pages (pages.h) and verifies.  Then, once or in so many rounds, it rewrites every third page, verifies,
 * frees a quarter, fills that anew, and verifies.  With 0 rounds it goes on until a line comes in, and the last verify of
 * the last round begins after that.  Behind each phase it says how long it waited for a page, at most.
 * So many MiB of ballast it locks and leaves alone, for a kernel boots with no less memory than it does: little memory and
 * few pages make a quick test.
 * Exit status: 0 all pages were right, 1 some were not, 2 wrong use.  A page that the kernel can't bring back ends it
 * with SIGBUS.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pages.h"

/* A version is one byte, and a round makes at most two of a page. */
enum { ROUNDS_MAX = 100 };

/* Of all pages of a phase: how long the program waited for one, at most. */
static int64_t slowest_milliseconds;

static void say(const char *phase)
{
	printf("hog: %s, slowest page %lld ms\n", phase, (long long)slowest_milliseconds);
	slowest_milliseconds = 0;
}

static void note_page(int64_t *since)
{
	int64_t now = now_milliseconds();

	if (now - *since > slowest_milliseconds)
		slowest_milliseconds = now - *since;
	*since = now;
}

static void fill(uint64_t *memory, uint8_t *versions, size_t start, size_t end, size_t step)
{
	int64_t since = now_milliseconds();

	for (size_t number = start; number < end; number += step) {
		make_page(memory + number * WORDS, number, ++versions[number]);
		note_page(&since);
	}
}

static size_t verify(const uint64_t *memory, const uint8_t *versions, size_t pages)
{
	uint64_t expected[WORDS];
	size_t wrong = 0;
	int64_t since = now_milliseconds();

	for (size_t number = 0; number < pages; number++) {
		make_page(expected, number, versions[number]);
		if (memcmp(expected, memory + number * WORDS, PAGE_BYTES) != 0 && wrong++ < 5)
			printf("hog: WRONG page %zu, version %u\n", number, versions[number]);
		note_page(&since);
	}
	return wrong;
}

static size_t rewrite(uint64_t *memory, uint8_t *versions, size_t pages)
{
	size_t wrong;

	fill(memory, versions, 0, pages, 3);
	say("rewritten");
	wrong = verify(memory, versions, pages);
	say("verified again");
	madvise(memory, pages / 4 * PAGE_BYTES, MADV_DONTNEED);
	fill(memory, versions, 0, pages / 4, 1);
	say("filled anew");
	return wrong;
}

static int is_told_to_end(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };

	return poll(&input, 1, 0) == 1;
}

int main(int argc, char **argv)
{
	size_t pages = argc >= 2 ? (size_t)atoi(argv[1]) * PAGES_PER_MIB : 0;
	int rounds = argc >= 3 ? atoi(argv[2]) : 1;
	size_t ballast_bytes = argc >= 4 ? (size_t)atoi(argv[3]) << 20 : 0;
	size_t wrong = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pages == 0 || rounds < 0 || rounds > ROUNDS_MAX) {
		fputs("usage: hog MEBIBYTES [ROUNDS [BALLAST]]\n", stderr);
		return 2;
	}
	if (ballast_bytes && mmap(NULL, ballast_bytes, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED) {
		perror("hog: ballast");
		return 2;
	}
	uint64_t *memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *versions = calloc(pages, 1);

	if (memory == MAP_FAILED || versions == NULL) {
		perror("hog");
		return 2;
	}
	fill(memory, versions, 0, pages, 1);
	say("filled");
	wrong += verify(memory, versions, pages);
	say("verified");
	int is_last = 0;

	for (int round = 1; !is_last; round++) {
		wrong += rewrite(memory, versions, pages);
		is_last = round == (rounds ? rounds : ROUNDS_MAX) || (rounds == 0 && is_told_to_end());
		wrong += verify(memory, versions, pages);
		say("round is over");
	}
	printf("hog: %zu pages, %zu wrong\n", pages, wrong);
	return wrong != 0;
}
