/*
 * The program that eats the memory of a guest which swaps to itself: more than the guest has, for a while.
 *
 *     eater MEBIBYTES SECONDS
 *
 * It fills all of its pages (pages.h).  Then it goes through its memory again and again, verifies each page and rewrites
 * every third, until so many seconds are over since its start, and for some in any case.  At the end it verifies all.
 * Every 3 seconds it says that it is alive, or as soon after that as the page which it waits for is there: "worst" is the
 * longest wait for a page since the last such line.
 * Exit status: 0 all pages were right, 1 some were not, 2 wrong use.  A page that the kernel can't bring back ends it
 * with SIGBUS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pages.h"

enum { REWRITTEN = 3 };
static const int64_t HEARTBEAT_MILLISECONDS = 3000, ROUND_MILLISECONDS_MIN = 30000;

struct eater {
	uint64_t *memory;
	/* One each page: how often it was rewritten. */
	uint8_t *versions;
	size_t pages;
	size_t wrong;
	size_t verified;
	const char *phase;
	int64_t started;
	int64_t last_page;
	int64_t last_heartbeat;
	int64_t worst;
	int64_t worst_of_all;
	int64_t gap_of_all;
};


static void heartbeat(struct eater *eater, int64_t now)
{
	int64_t gap = now - eater->last_heartbeat;

	if (gap > eater->gap_of_all)
		eater->gap_of_all = gap;
	printf("eater: alive %lld s, %s, %zu verified, worst %lld ms\n", (long long)(now - eater->started) / 1000,
	       eater->phase, eater->verified, (long long)eater->worst);
	eater->worst = 0;
	eater->last_heartbeat = now;
}

static void note_page(struct eater *eater)
{
	int64_t now = now_milliseconds();
	int64_t wait = now - eater->last_page;

	if (wait > eater->worst)
		eater->worst = wait;
	if (wait > eater->worst_of_all)
		eater->worst_of_all = wait;
	eater->last_page = now;
	if (now - eater->last_heartbeat >= HEARTBEAT_MILLISECONDS)
		heartbeat(eater, now);
}

static void write_page(struct eater *eater, size_t number)
{
	make_page(eater->memory + number * WORDS, number, ++eater->versions[number]);
}

static void verify_page(struct eater *eater, size_t number)
{
	uint64_t expected[WORDS];

	make_page(expected, number, eater->versions[number]);
	if (memcmp(expected, eater->memory + number * WORDS, PAGE_BYTES) != 0 && eater->wrong++ < 5)
		printf("eater: WRONG page %zu, version %u\n", number, eater->versions[number]);
	eater->verified++;
}

int main(int argc, char **argv)
{
	struct eater eater = { .pages = argc == 3 ? (size_t)atoi(argv[1]) * PAGES_PER_MIB : 0, .phase = "fills" };
	int64_t seconds = argc == 3 ? atoi(argv[2]) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (eater.pages == 0 || seconds <= 0) {
		fputs("usage: eater MEBIBYTES SECONDS\n", stderr);
		return 2;
	}
	eater.memory = mmap(NULL, eater.pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	eater.versions = calloc(eater.pages, 1);
	if (eater.memory == MAP_FAILED || eater.versions == NULL) {
		perror("eater");
		return 2;
	}
	eater.started = eater.last_page = eater.last_heartbeat = now_milliseconds();
	for (size_t number = 0; number < eater.pages; number++) {
		write_page(&eater, number);
		note_page(&eater);
	}
	eater.phase = "goes round";
	int64_t end = eater.started + seconds * 1000;

	if (end < eater.last_page + ROUND_MILLISECONDS_MIN)
		end = eater.last_page + ROUND_MILLISECONDS_MIN;
	for (size_t number = 0; eater.last_page < end; number = (number + 1) % eater.pages) {
		verify_page(&eater, number);
		if (number % REWRITTEN == 0)
			write_page(&eater, number);
		note_page(&eater);
	}
	eater.phase = "verifies all";
	eater.verified = 0;
	for (size_t number = 0; number < eater.pages; number++) {
		verify_page(&eater, number);
		note_page(&eater);
	}
	printf("eater: %zu pages, %zu wrong, worst %lld ms, longest gap %lld ms\n", eater.verified, eater.wrong,
	       (long long)eater.worst_of_all, (long long)eater.gap_of_all);
	return eater.wrong != 0;
}
