/*
 * A scan: sorts an array and a second one of its size, from end to end again and again, and knows what must come out.
 *
 *     sort MEBIBYTES
 *
 * MEBIBYTES are those of both arrays.  Records have 64 bytes: a key drawn at random, and content made from it, a
 * quarter of it noise.  Runs of 4 MiB are sorted first, then merged by passes over all memory.
 * Prints "bench: NAME VALUE" lines.  Exit status: 0, 1 records were wrong, 2 wrong use or no memory.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { WORDS = 7, RUN = 65536 };

struct record {
	uint64_t key, content[WORDS];
};

static uint64_t mixed(uint64_t z)
{
	/* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void make_record(struct record *record, uint64_t key)
{
	record->key = key;
	record->content[0] = mixed(key);
	for (int word = 1; word < WORDS; word++)
		record->content[word] = word;
}

static int by_key(const void *one, const void *other)
{
	uint64_t a = ((const struct record *)one)->key, b = ((const struct record *)other)->key;

	return (a > b) - (a < b);
}

static void merge(struct record *target, const struct record *left, const struct record *right,
		  const struct record *end)
{
	const struct record *middle = right;

	while (left < middle && right < end)
		*target++ = right->key < left->key ? *right++ : *left++;
	while (left < middle)
		*target++ = *left++;
	while (right < end)
		*target++ = *right++;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static struct record *sorted(struct record *records, struct record *spare, size_t count)
{
	for (size_t at = 0; at < count; at += RUN)
		qsort(records + at, least(RUN, count - at), sizeof(*records), by_key);
	for (size_t run = RUN; run < count; run *= 2) {
		struct record *merged = spare;

		for (size_t at = 0; at < count; at += 2 * run)
			merge(merged + at, records + at, records + least(at + run, count),
			      records + least(at + 2 * run, count));
		spare = records;
		records = merged;
	}
	return records;
}

static size_t wrong_of(const struct record *records, size_t count, uint64_t sum)
{
	struct record expected;
	size_t wrong = 0;

	for (size_t each = 0; each < count; each++) {
		make_record(&expected, records[each].key);
		wrong += memcmp(&expected, &records[each], sizeof(expected)) != 0 ||
			 (each && records[each - 1].key > records[each].key);
		sum -= records[each].key;
	}
	return wrong + (sum != 0);
}

int main(int argc, char **argv)
{
	size_t mebibytes = argc == 2 ? atol(argv[1]) : 0, count = mebibytes * 8192;
	uint64_t sum = 0;
	double begin = now_seconds();

	if (mebibytes == 0) {
		fputs("usage: sort MEBIBYTES\n", stderr);
		return 2;
	}
	struct record *records = mmap(NULL, 2 * count * sizeof(*records), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (records == MAP_FAILED) {
		perror("sort");
		return 2;
	}
	for (size_t each = 0; each < count; each++) {
		make_record(&records[each], mixed((each + 1) * 0x9e3779b97f4a7c15u));
		sum += records[each].key;
	}
	records = sorted(records, records + count, count);
	size_t wrong = wrong_of(records, count, sum);

	printf("bench: seconds %.3f\nbench: wrong %zu\n", now_seconds() - begin, wrong);
	return wrong != 0;
}
