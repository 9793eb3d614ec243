/* swapon with discards, which busybox's own can't ask for: swapon-discard DEVICE */
#include <stdio.h>
#include <sys/swap.h>

/* <linux/swap.h>: SWAP_FLAG_DISCARD, of the whole area at once and of freed pages later. */
enum { DISCARD = 0x10000 };

int main(int argc, char **argv)
{
	if (argc != 2 || swapon(argv[1], DISCARD) != 0) {
		perror("swapon");
		return 1;
	}
	return 0;
}
