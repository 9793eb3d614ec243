/*
 * A client of redis that reads and writes keys by a Zipf distribution, and knows what each value must be.
 *
 *     zipf SOCKET KEYS VALUE_BYTES OPERATIONS
 *
 * It sets all keys, does a quarter of the operations to settle, and then measures the rest, one at a time: 95 % GET,
 * 5 % SET (YCSB's workload B).  Key ranks are drawn with exponent 0.99 by the method of Gray et al., "Quickly
 * Generating Billion-Record Synthetic Databases" (1994), and scattered over the keys by FNV-1a, so that hot keys are
 * not neighbours in memory.  A value is made from its key and version: three eighths noise, the rest a counter.
 * Prints "bench: NAME VALUE" lines.  Exit status: 0, 1 a value was wrong, 2 wrong use or no server.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define THETA 0.99

enum { VALUE_BYTES_MAX = 4096, LINE_BYTES_MAX = 64, WRITES_PER_HUNDRED = 5, SETTLE_PART = 4, PIPELINE = 32 };

static int server;
static char input[2 * VALUE_BYTES_MAX + LINE_BYTES_MAX];
static size_t input_begin, input_end;

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t next(uint64_t *state)
{
	/* splitmix64 (Steele, Lea, Flood 2014). */
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

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

/* The Zipf distribution. */

static struct {
	double keys, zeta, alpha, eta;
} zipf;

static void zipf_prepare(uint64_t keys)
{
	double zeta_of_two = 1 + pow(0.5, THETA);

	zipf.keys = keys;
	for (uint64_t each = 1; each <= keys; each++)
		zipf.zeta += pow(1.0 / each, THETA);
	zipf.alpha = 1 / (1 - THETA);
	zipf.eta = (1 - pow(2.0 / keys, 1 - THETA)) / (1 - zeta_of_two / zipf.zeta);
}

static uint64_t zipf_rank(uint64_t *state)
{
	double u = (next(state) >> 11) * 0x1p-53, uz = u * zipf.zeta;

	if (uz < 1)
		return 0;
	if (uz < 1 + pow(0.5, THETA))
		return 1;
	return zipf.keys * pow(zipf.eta * u - zipf.eta + 1, zipf.alpha);
}

static uint64_t scattered(uint64_t rank, uint64_t keys)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (int byte = 0; byte < 8; byte++, rank >>= 8)
		hash = (hash ^ (rank & 0xff)) * 0x100000001b3u;
	return hash % keys;
}

/* Values. */

static void make_value(char *value, size_t bytes, uint64_t key, uint64_t version)
{
	uint64_t state = key << 8 | version;
	size_t words = bytes / 8;

	for (size_t word = 0; word < words; word++) {
		uint64_t content = word < words * 3 / 8 ? next(&state) : key + version;

		memcpy(value + 8 * word, &content, 8);
	}
}

/* The protocol of redis, RESP2. */

static void send_all(const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t sent = write(server, data, bytes);

		if (sent <= 0)
			fail("write");
		data += sent;
		bytes -= sent;
	}
}

static void need(size_t bytes)
{
	if (input_begin == input_end)
		input_begin = input_end = 0;
	while (input_end - input_begin < bytes) {
		if (input_begin + bytes > sizeof(input)) {
			memmove(input, input + input_begin, input_end - input_begin);
			input_end -= input_begin;
			input_begin = 0;
		}
		ssize_t received = read(server, input + input_end, sizeof(input) - input_end);

		if (received <= 0)
			fail("read");
		input_end += received;
	}
}

static long read_line(char kind)
{
	size_t length = 0;
	long number;

	do
		need(++length);
	while (input[input_begin + length - 1] != '\n');
	if (input[input_begin] != kind) {
		fprintf(stderr, "zipf: expected %c, got %.*s", kind, (int)length, input + input_begin);
		exit(2);
	}
	number = atol(input + input_begin + 1);
	input_begin += length;
	return number;
}

static void send_set(const char *value, size_t bytes, uint64_t key)
{
	char command[VALUE_BYTES_MAX + 3 * LINE_BYTES_MAX];
	int length = sprintf(command, "*3\r\n$3\r\nSET\r\n$12\r\nk%011llu\r\n$%zu\r\n",
			     (unsigned long long)key, bytes);

	memcpy(command + length, value, bytes);
	memcpy(command + length + bytes, "\r\n", 2);
	send_all(command, length + bytes + 2);
}

static int get_is_right(const char *expected, size_t bytes, uint64_t key)
{
	char command[LINE_BYTES_MAX];
	int is_right;

	send_all(command, sprintf(command, "*2\r\n$3\r\nGET\r\n$12\r\nk%011llu\r\n", (unsigned long long)key));
	if (read_line('$') != (long)bytes)
		return 0;
	need(bytes + 2);
	is_right = memcmp(input + input_begin, expected, bytes) == 0;
	input_begin += bytes + 2;
	return is_right;
}

static void set_all(uint64_t keys, size_t bytes)
{
	char value[VALUE_BYTES_MAX];
	uint64_t answered = 0;

	for (uint64_t key = 0; key < keys; key++) {
		make_value(value, bytes, key, 0);
		send_set(value, bytes, key);
		for (; key + 1 - answered >= PIPELINE; answered++)
			read_line('+');
	}
	for (; answered < keys; answered++)
		read_line('+');
}

static void connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail(path);
}

static int by_value(const void *one, const void *other)
{
	float a = *(const float *)one, b = *(const float *)other;

	return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
	if (argc != 5 || atol(argv[3]) % 8 || atol(argv[3]) > VALUE_BYTES_MAX) {
		fputs("usage: zipf SOCKET KEYS VALUE_BYTES OPERATIONS\n", stderr);
		return 2;
	}
	uint64_t keys = atol(argv[2]), operations = atol(argv[4]), settle = operations / SETTLE_PART;
	size_t bytes = atol(argv[3]), wrong = 0;
	uint8_t *versions = calloc(keys, 1);
	float *seconds = calloc(operations, sizeof(*seconds));
	uint64_t state = 1;
	double begin = 0, before;
	char value[VALUE_BYTES_MAX];

	if (versions == NULL || seconds == NULL)
		fail("zipf");
	connect_to(argv[1]);
	zipf_prepare(keys);
	before = now_seconds();
	set_all(keys, bytes);
	printf("bench: load_seconds %.3f\n", now_seconds() - before);
	for (uint64_t each = 0; each < operations; each++) {
		uint64_t key = scattered(zipf_rank(&state), keys);
		int is_write = next(&state) % 100 < WRITES_PER_HUNDRED;

		if (each == settle)
			begin = now_seconds();
		if (is_write)
			versions[key]++;
		make_value(value, bytes, key, versions[key]);
		before = now_seconds();
		if (is_write) {
			send_set(value, bytes, key);
			read_line('+');
		} else if (!get_is_right(value, bytes, key)) {
			wrong++;
		}
		seconds[each] = now_seconds() - before;
	}
	printf("bench: seconds %.3f\n", now_seconds() - begin);
	printf("bench: wrong %zu\n", wrong);
	operations -= settle;
	qsort(seconds + settle, operations, sizeof(*seconds), by_value);
	printf("bench: p50_us %.0f\n", seconds[settle + operations / 2] * 1e6);
	printf("bench: p99_us %.0f\n", seconds[settle + operations * 99 / 100] * 1e6);
	return wrong != 0;
}
