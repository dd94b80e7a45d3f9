/* load_bare.c - what a request costs that nothing but the kernel and the target is part of: `load_bare PORT RATE SECONDS`
 *
 * One connection, and a client that polls the clock until the request is due and its socket until the answer is there: nobody sleeps,
 * nothing is recorded but the time. What a generator adds to a target's delay less what this adds is the generator's own; the
 * rest grows with the pause between two requests, since caches are others' meanwhile. Prints microseconds, sorted quantiles. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/net/loop.h"

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: griddle\r\nAccept: */*\r\n\r\n";
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	uint64_t start_ns, *ns;
	char answer[4096];
	double rate;
	size_t n;

	if (argc != 4) {
		printf("load_bare: run by bench/load.sh\n");
		return argc == 1 ? 0 : 2;
	}
	rate = atof(argv[2]);
	n = (size_t)(rate * atof(argv[3]));
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	if (!n || fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("load_bare");
		return 1;
	}
	ns = gr_xalloc(n * sizeof(*ns));
	start_ns = gr_clock_mono_ns() + 100 * GR_NS_PER_MS;
	for (size_t i = 0; i < n; i++) {
		uint64_t due_ns = start_ns + (uint64_t)((double)i * 1e9 / rate);
		ssize_t got;

		while (gr_clock_mono_ns() < due_ns)
			;
		if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
			return 1;
		while ((got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT)) < 0)
			;
		if (!got)
			return 1;
		ns[i] = gr_clock_mono_ns() - due_ns;
	}
	qsort(ns, n, sizeof(*ns), by_size);
	printf("%.1f %.1f %.1f\n", (double)ns[n / 2] / 1e3, (double)ns[n * 9 / 10] / 1e3, (double)ns[n * 99 / 100] / 1e3);
	free(ns);
	return 0;
}
