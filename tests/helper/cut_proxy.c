/* cut_proxy.c - a TCP proxy that cuts connections: forwards a port of its own (printed on stdout) to 127.0.0.1:PORT and
 * closes both ends, in the middle of what travels, after every BYTES bytes, CUTS times in all; then it lets be.
 *   cut_proxy PORT BYTES CUTS */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PAIRS 64
#define CHUNK 16384

struct pair {
	int fd[2];
	size_t n;
};

static int open_port(int port, int is_server)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || (is_server ? bind(fd, (void *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0
				 : connect(fd, (void *)&a, sizeof(a)) < 0)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int forward(int from, int to, size_t *n)
{
	char chunk[CHUNK];
	ssize_t got = read(from, chunk, sizeof(chunk)), done = 0;

	if (got <= 0)
		return -1;
	while (done < got) {
		ssize_t w = write(to, chunk + done, (size_t)(got - done));

		if (w < 0 && errno != EINTR)
			return -1;
		done += w > 0 ? w : 0;
	}
	*n += (size_t)got;
	return 0;
}

static void cut(struct pair *p, size_t *n_pairs, size_t i)
{
	close(p[i].fd[0]);
	close(p[i].fd[1]);
	p[i] = p[--*n_pairs];
}

int main(int argc, char **argv)
{
	struct pair pairs[MAX_PAIRS];
	struct sockaddr_in a;
	socklen_t n_a = sizeof(a);
	size_t n_pairs = 0, limit;
	int server, target, cuts;

	if (argc != 4) {
		fprintf(stderr, "usage: cut_proxy PORT BYTES CUTS\n");
		return 2;
	}
	target = atoi(argv[1]);
	limit = (size_t)atol(argv[2]);
	cuts = atoi(argv[3]);
	server = open_port(0, 1);
	if (server < 0 || getsockname(server, (void *)&a, &n_a) < 0)
		return 1;
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		struct pollfd p[1 + 2 * MAX_PAIRS] = { { server, n_pairs < MAX_PAIRS ? POLLIN : 0, 0 } };

		for (size_t i = 0; i < n_pairs; i++)
			for (int e = 0; e < 2; e++)
				p[1 + 2 * i + (size_t)e] = (struct pollfd){ pairs[i].fd[e], POLLIN, 0 };
		if (poll(p, (nfds_t)(1 + 2 * n_pairs), -1) < 0 && errno != EINTR)
			return 1;
		for (size_t i = n_pairs; i-- > 0;) {
			int is_dead = 0;

			for (int e = 0; e < 2 && !is_dead; e++)
				if (p[1 + 2 * i + (size_t)e].revents)
					is_dead = forward(pairs[i].fd[e], pairs[i].fd[!e], &pairs[i].n) < 0;
			if (!is_dead && cuts > 0 && pairs[i].n >= limit) {
				fprintf(stderr, "cut after %zu bytes\n", pairs[i].n);
				cuts--;
				is_dead = 1;
			}
			if (is_dead)
				cut(pairs, &n_pairs, i);
		}
		if (p[0].revents) {
			int c = accept(server, NULL, NULL), t = c < 0 ? -1 : open_port(target, 0);

			if (t >= 0)
				pairs[n_pairs++] = (struct pair){ { c, t }, 0 };
			else if (c >= 0)
				close(c);
		}
	}
}
