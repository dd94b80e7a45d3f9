/* load_target.c - what load tests are aimed at: an HTTP/1.1 server on one thread, good or hostile as its first word says
 *
 *   load_target MODE READY-FILE
 *   ok          answers "ok\n"                        stall       blocks for 1 s in every 4, from the first request on
 *   delay       answers 1 ms after the request        json        {"token": "t-N", "list": [1, 2]}, a cookie, X-Token
 *   silent      never answers                         half        half a head, then nothing
 *   close       closes at once                        reset       resets at the first byte
 *   truncated   promises more than it sends           flood       endless header lines
 *   endless     a body without an end                 chunk       bad chunked encoding
 *   garbage     no HTTP at all                        trickle     a byte every 20 ms
 *   error       answers 503                           noclose     an answer to each request, then closes after it
 *   echo        raw TCP: sends back what came         once        one answer a connection, closing without saying so
 *   last        ok; READY-FILE.last has the time of the last request, in seconds since 1970
 *   spin        ok, SPIN_US (200) after the request was read: a core is spent so that it is neither sooner nor later
 * READY-FILE gets the port. PROCS=n: in so many processes, for more connections than one may have descriptors. Ends on SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 65536 };

static struct conn { char tail[4]; double due; int n; bool is_on; } *conns;
static const char *mode;
static int n_requests, last_fd = -1, lfd, ep;
static bool is_full;              /* no descriptor left: others accept */
static double spin_s = 200e-6;

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double read_s;             /* when the last input came */

static bool is(const char *m) { return !strcmp(mode, m); }

static void say(int fd, const char *s)
{
	if (send(fd, s, strlen(s), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void listening(bool is_on)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = lfd };

	if (is_on != is_full)
		return;
	is_full = !is_on;
	epoll_ctl(ep, is_on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, lfd, &ev);
}

static void shut(int fd, bool is_reset)
{
	struct linger l = { 1, 0 };

	if (is_reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	conns[fd].is_on = false;
	close(fd);
	listening(true);
}

/* Stall: the second in which nothing happens is the last of every four since the first request. */
static void stall(void)
{
	static double start;
	double t, into;

	if (!start)
		start = now_s();
	t = now_s() - start;
	into = t - 4.0 * (double)(long)(t / 4.0);
	if (into >= 3.0)
		usleep((useconds_t)((4.0 - into) * 1e6));
}

static void answer(int fd)
{
	char text[512];

	n_requests++;
	if (is("silent"))
		return;
	if (is("half")) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Le");
	} else if (is("close")) {
		shut(fd, false);
	} else if (is("reset")) {
		shut(fd, true);
	} else if (is("truncated")) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
		shut(fd, false);
	} else if (is("chunk")) {
		say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n");
	} else if (is("garbage")) {
		say(fd, "SSH-2.0-OpenSSH_9.2\r\n");
	} else if (is("flood")) {
		for (int i = 0; i < 2000; i++)
			say(fd, i ? "X-Flood: 0123456789012345678901234567890123456789\r\n" : "HTTP/1.1 200 OK\r\n");
	} else if (is("endless")) {
		say(fd, "HTTP/1.1 200 OK\r\n\r\n");
		conns[fd].due = now_s();
	} else if (is("trickle")) {
		conns[fd].n = 0;
		conns[fd].due = now_s();
	} else if (is("error")) {
		say(fd, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
	} else if (is("noclose")) {
		say(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbye");
		shut(fd, false);
	} else if (is("once")) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
		shut(fd, false);
	} else if (is("delay")) {
		conns[fd].due = now_s() + .001;
	} else if (is("json")) {
		char body[64];

		snprintf(body, sizeof(body), "{\"token\":\"t-%d\",\"list\":[1,2]}", n_requests);
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nSet-Cookie: sid=s%d; Path=/\r\nX-Token: x%d\r\n\r\n%s", strlen(body),
			 n_requests, n_requests, body);
		say(fd, text);
	} else {
		if (is("stall"))
			stall();
		if (is("last")) {
			struct timespec t;
			int len;

			clock_gettime(CLOCK_REALTIME, &t);
			len = snprintf(text, sizeof(text), "%ld.%09ld\n", (long)t.tv_sec, t.tv_nsec);
			if (pwrite(last_fd, text, (size_t)len, 0) != len)
				exit(1);
		}
		if (is("spin"))
			for (double until = read_s + spin_s; now_s() < until;)
				;
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
	}
}

/* Bodies of requests are short here: an answer for each blank line. */
static void input(int fd)
{
	static char buf[65536];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (is("spin"))
		read_s = now_s();
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			shut(fd, false);
		return;
	}
	if (is("echo")) {
		if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) < 0)
			shut(fd, false);
		return;
	}
	for (ssize_t i = 0; i < n && conns[fd].is_on; i++) {
		memmove(conns[fd].tail, conns[fd].tail + 1, 3);
		conns[fd].tail[3] = buf[i];
		if (!memcmp(conns[fd].tail, "\r\n\r\n", 4))
			answer(fd);
	}
}

static void due(int fd)
{
	static const char slow[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	static char block[65536];

	if (is("endless")) {
		while (send(fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			;
		conns[fd].due = now_s() + .001;
		if (errno != EAGAIN)
			shut(fd, false);
	} else if (is("trickle")) {
		if (conns[fd].n < (int)sizeof(slow) - 1 && send(fd, slow + conns[fd].n++, 1, MSG_NOSIGNAL) < 0)
			shut(fd, false);
		conns[fd].due = conns[fd].n < (int)sizeof(slow) - 1 ? now_s() + .02 : 0;
	} else {
		conns[fd].due = 0;
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) };
	socklen_t n = sizeof(a);
	int one = 1, max_fd = 0;
	struct epoll_event list[256];
	struct rlimit rl = { MAX_FD, MAX_FD };
	char path[4096];
	FILE *f;

	if (argc < 3) {
		printf("load_target MODE READY-FILE [PORT]: started by the tests of load\n");
		return 0;
	}
	mode = argv[1];
	if (argc > 3)
		a.sin_port = htons((uint16_t)atoi(argv[3]));
	setrlimit(RLIMIT_NOFILE, &rl);
	lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	conns = calloc(MAX_FD, sizeof(*conns));
	setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!conns || bind(lfd, (struct sockaddr *)&a, n) < 0 || listen(lfd, 65535) < 0 || getsockname(lfd, (struct sockaddr *)&a, &n) < 0)
		return 1;
	if (getenv("SPIN_US"))
		spin_s = atof(getenv("SPIN_US")) / 1e6;
	snprintf(path, sizeof(path), "%s.last", argv[2]);
	if (is("last") && (last_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) < 0)
		return 1;
	snprintf(path, sizeof(path), "%s.tmp", argv[2]);
	f = fopen(path, "w");
	if (!f)
		return 1;
	fprintf(f, "%d\n", ntohs(a.sin_port));
	fclose(f);
	rename(path, argv[2]);
	for (int i = getenv("PROCS") ? atoi(getenv("PROCS")) : 1; i > 1; i--)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			break;
		}
	ep = epoll_create1(EPOLL_CLOEXEC);
	is_full = true;
	listening(true);
	for (;;) {
		bool has_timers = is("endless") || is("trickle") || is("delay");
		int got = epoll_wait(ep, list, 256, is("spin") ? 0 : has_timers ? 1 : -1);
		double t;

		for (int i = 0; i < got; i++) {
			int fd = list[i].data.fd;

			if (fd != lfd) {
				if (conns[fd].is_on)
					input(fd);
				continue;
			}
			while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
				struct epoll_event in = { .events = EPOLLIN, .data.fd = fd };

				if (fd >= MAX_FD) {
					close(fd);
					continue;
				}
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				conns[fd] = (struct conn){ .is_on = true };
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &in);
				max_fd = fd > max_fd ? fd : max_fd;
			}
			if (errno == EMFILE)
				listening(false);
		}
		t = has_timers ? now_s() : 0;
		for (int fd = 0; has_timers && fd <= max_fd; fd++)
			if (conns[fd].is_on && conns[fd].due && conns[fd].due <= t)
				due(fd);
	}
}
