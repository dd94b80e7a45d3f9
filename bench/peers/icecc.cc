// icecc.cc - how much CPU Debian's icecc-scheduler takes for a placement.
//   g++ -O2 -o icecc icecc.cc -licecc -lcap-ng -llzo2 -lzstd -larchive -ldl -lpthread
//   icecc PORT SCHEDULER_PID HOSTS SLOTS OUTSTANDING SECONDS     prints "hosts decisions cpu_us_per_decision per_s"
// It pretends to be one submitting daemon without slots and HOSTS daemons with SLOTS. Each must listen on the port it
// names, as the scheduler connects back. The scheduler takes new connections at most once a second and only when
// something wakes it, so the submitter sends its state every 50 ms while the others log in. Then OUTSTANDING requests
// are kept in flight: GetCS -> UseCS -> JobBegin + JobDone. CPU is what /proc says the scheduler used meanwhile.
#include <arpa/inet.h>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <icecc/comm.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <unordered_map>
#include <vector>

static const int BASE_PORT = 21000;

static double now_s()
{
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(int pid)
{
	std::string path = "/proc/" + std::to_string(pid) + "/stat";
	FILE *f = fopen(path.c_str(), "r");
	unsigned long user = 0, sys = 0;

	if (!f || fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2) {
		perror(path.c_str());
		exit(1);
	}
	fclose(f);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void listen_on(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	sockaddr_in a{};

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	a.sin_family = AF_INET;
	a.sin_port = htons((uint16_t)port);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (sockaddr *)&a, sizeof(a)) || listen(fd, 16)) {
		perror("bind");
		exit(1);
	}
}

static void say_stats(MsgChannel *c)
{
	StatsMsg m;

	m.load = 0;
	m.loadAvg1 = m.loadAvg5 = m.loadAvg10 = 0;
	m.freeMem = 16000;
	m.client_count = 0;
	c->send_msg(m);
}

static void login(MsgChannel *c, int i, int slots, const Environments &envs)
{
	LoginMsg m((unsigned)(BASE_PORT + i), "host-" + std::to_string(i), "x86_64", 3);

	m.envs = envs;
	m.max_kids = (unsigned)slots;
	m.noremote = slots == 0;
	m.chroot_possible = true;
	c->send_msg(m);
	say_stats(c);
}

static void drain(MsgChannel *c)
{
	while (c->read_a_bit() && c->has_msg()) {
		Msg *m = c->get_msg(0);
		if (!m)
			break;
		delete m;
	}
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fprintf(stderr, "usage: icecc PORT SCHEDULER_PID HOSTS SLOTS OUTSTANDING SECONDS\n");
		return 2;
	}
	int port = atoi(argv[1]), pid = atoi(argv[2]), n_hosts = atoi(argv[3]), slots = atoi(argv[4]), window = atoi(argv[5]);
	double seconds = atof(argv[6]);
	Environments envs;
	envs.push_back(std::make_pair(std::string("x86_64"), std::string("env1")));
	std::vector<MsgChannel *> hosts((size_t)n_hosts + 1);
	std::atomic<int> next(1);
	std::atomic<bool> is_waking(true);
	std::vector<std::thread> threads;

	for (int i = 0; i <= n_hosts; i++)
		listen_on(BASE_PORT + i);
	hosts[0] = Service::createChannel("127.0.0.1", (unsigned short)port, 10);
	if (!hosts[0]) {
		fprintf(stderr, "icecc: no scheduler on port %d\n", port);
		return 1;
	}
	login(hosts[0], 0, 0, envs);
	std::thread waker([&] {
		while (is_waking) {
			say_stats(hosts[0]);
			usleep(50000);
		}
	});
	for (int t = 0; t < 16; t++)
		threads.emplace_back([&] {
			for (int i; (i = next++) <= n_hosts;)
				for (int k = 0; k < 30 && !hosts[(size_t)i]; k++) {
					hosts[(size_t)i] = Service::createChannel("127.0.0.1", (unsigned short)port, 10);
					if (hosts[(size_t)i])
						login(hosts[(size_t)i], i, slots, envs);
				}
		});
	for (auto &t : threads)
		t.join();
	is_waking = false;
	waker.join();
	for (int i = 1; i <= n_hosts; i++)
		if (!hosts[(size_t)i]) {
			fprintf(stderr, "icecc: host %d could not log in\n", i);
			return 1;
		}
	for (double from = now_s(); now_s() - from < 4; usleep(50000))
		for (auto *c : hosts)
			drain(c);

	long sent = 0, got = 0, before = 0;
	double from = now_s(), cpu = cpu_s(pid);
	bool is_warm = false;
	long tick = 0;
	for (;;) {
		double t = now_s();
		if (!is_warm && t - from > 2) {
			is_warm = true;
			before = got;
			from = t;
			cpu = cpu_s(pid);
		}
		if (is_warm && t - from > seconds)
			break;
		while (sent - got < window) {
			GetCSMsg m(envs, "/src/file-" + std::to_string(sent) + ".c", CompileJob::Lang_C, 1, "x86_64", 0, "", 0, 0, 0, 0);
			m.client_id = (unsigned)++sent;
			hosts[0]->send_msg(m);
		}
		pollfd pf = { hosts[0]->fd, POLLIN, 0 };
		if (!hosts[0]->has_msg() && poll(&pf, 1, 5000) <= 0) {
			fprintf(stderr, "icecc: nothing for 5 s: %ld sent, %ld placed\n", sent, got);
			return 1;
		}
		hosts[0]->read_a_bit();
		while (hosts[0]->has_msg()) {
			Msg *m = hosts[0]->get_msg(0);
			if (!m)
				break;
			if (UseCSMsg *u = dynamic_cast<UseCSMsg *>(m)) {
				MsgChannel *c = hosts[u->port - BASE_PORT];
				JobDoneMsg d((int)u->job_id, 0);

				got++;
				c->send_msg(JobBeginMsg(u->job_id, 0));
				d.real_msec = 100;
				d.user_msec = 90;
				d.sys_msec = 10;
				d.pfaults = 0;
				d.in_compressed = 200000;
				d.in_uncompressed = 1800000;
				d.out_compressed = 2000;
				d.out_uncompressed = 6000;
				c->send_msg(d);
			}
			delete m;
		}
		if (++tick % 4096 == 0)
			for (size_t i = 1; i < hosts.size(); i++)
				drain(hosts[i]);
	}
	printf("%d %ld %.1f %.0f\n", n_hosts, got - before, (cpu_s(pid) - cpu) * 1e6 / (double)(got - before),
	       (double)(got - before) / (now_s() - from));
	fflush(stdout);
	_exit(0);
}
