/*
 * main.c - griddle-worker: putting it together, and draining
 *
 * Order matters: the spawner first (nothing else may exist when it is forked), then settings, privileges, toolchains
 * and the choice of the tier, then cache, loop and link.
 *
 * Started with GR_PROCS_ARG alone it is one of several generator processes of a worker (load/procs.h) and nothing of the above.
 *
 * SIGTERM: the coordinator is told, what waits is handed back, what runs may end within --grace; when every result is
 * acknowledged, or a moment after, the worker ends with 0. A second signal ends it at once.
 */
#include "worker/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "worker/load/procs.h"
#include "worker/load/runs.h"
#include "worker/command.h"

#define TICK_MS 250
#define TICKS_TOOLS 20                    /* compilers are looked at every 5 s */
#define ACK_WAIT_NS (3 * GR_NS_PER_S)

extern char **environ;

static bool is_local(const char *endpoint)
{
	return !strncmp(endpoint, "ipc://", 6) || !strncmp(endpoint, "tcp://127.", 10) || !strncmp(endpoint, "tcp://localhost:", 16) ||
	       !strncmp(endpoint, "tcp://[::1]", 11);
}

static void stop(struct gr_worker *w)
{
	gr_timer_stop(&w->timer);
	gr_loop_stop(w->loop);
}

void gr_worker_check_drained(struct gr_worker *w)
{
	uint64_t now_ns;

	if (!w->is_draining || w->n_running || w->n_queued || gr_commands_n_live(w->commands))
		return;
	now_ns = gr_loop_now_ns(w->loop);
	if ((!w->n_tasks && !w->commands->n[GR_CS_HELD]) || now_ns > w->drain_until_ns + ACK_WAIT_NS || !gr_link_is_up(w->link))
		stop(w);
}

static void hand_back_queued(struct gr_worker *w)
{
	for (int st = GR_TS_LOG; st <= GR_TS_READY; st++)
		GR_LIST_EACH_SAFE(t, &w->lists[st], struct gr_wtask, link)
			gr_task_give_up(t, GR_OUTCOME_RETRY, "draining");
}

static void hand_back_running(struct gr_worker *w)
{
	for (uint32_t i = 0; i < w->n_slots; i++) {
		struct gr_wtask *t = w->slots[i];

		if (!t || t->is_handed_back)
			continue;
		t->is_handed_back = true;
		t->deadline_ns = gr_loop_now_ns(w->loop) + GR_NS_PER_S;
		gr_sandbox_kill(t->s->sb_fd, t->slot);
	}
}

static void on_term(void *ctx, int signum)
{
	struct gr_worker *w = ctx;
	struct gr_buf frame = { 0 };

	if (w->is_draining) {
		stop(w);
		return;
	}
	gr_info("main", "%s: draining: %u running, %u waiting, %lld ms of grace", strsignal(signum),
		w->n_running + w->commands->n[GR_CS_RUNNING], w->n_queued + gr_commands_n_waiting(w->commands),
		(long long)w->cfg->grace_ms);
	w->is_draining = true;
	w->drain_until_ns = gr_loop_now_ns(w->loop) + (uint64_t)w->cfg->grace_ms * GR_NS_PER_MS;
	gr_drain_encode(&frame, (uint32_t)w->cfg->grace_ms);
	if (gr_link_is_up(w->link) && gr_link_send(w->link, &frame) < 0)
		gr_warn("main", "the coordinator could not be told");
	gr_buf_fini(&frame);
	hand_back_queued(w);
	gr_commands_drain(w->commands);
	gr_worker_check_drained(w);
}

/* A package was upgraded: tasks that run see the old files to their end, then everything is looked at again and the
 * coordinator told by a new HELLO. */
static void check_tools(struct gr_worker *w)
{
	struct gr_err err = { 0 };

	if (!w->has_stale_tools && w->n_ticks++ % TICKS_TOOLS == 0 && !gr_tools_are_current(&w->tools)) {
		gr_info("main", "a compiler changed: looking at all of them again when %u tasks are done", w->n_running + w->n_queued);
		w->has_stale_tools = true;
	}
	if (!w->has_stale_tools || w->n_running || w->n_queued || w->is_draining)
		return;
	GR_LIST_EACH(s, &w->session_list, struct gr_wsession, link)
		gr_session_reset_tree(s);
	gr_tools_fini(&w->tools);
	gr_tools_find(&w->tools, w->cfg->toolchains);
	w->has_stale_tools = false;
	gr_link_close(&w->link);
	if (gr_worker_connect(w, &err) < 0) {
		gr_error("main", "%s", err.text);
		w->exit_code = GR_EXIT_LOCAL;
		stop(w);
	}
}

/* Commands are asked to end when half of the grace is over, so that they can save what they have. */
static void drain_due(struct gr_worker *w)
{
	uint64_t now_ns = gr_loop_now_ns(w->loop), half_ns = (uint64_t)w->cfg->grace_ms * GR_NS_PER_MS / 2;

	if (now_ns > w->drain_until_ns)
		hand_back_running(w);
	if (now_ns + half_ns > w->drain_until_ns)
		gr_commands_drain_due(w->commands, now_ns > w->drain_until_ns);
}

static void on_tick(void *ctx)
{
	struct gr_worker *w = ctx;

	gr_task_tick(w);
	gr_commands_tick(w->commands);
	gr_fetch_tick(w->fetch);
	gr_session_tick(w);
	gr_result_send_all(w, false);
	check_tools(w);
	if (!w->link)
		return;
	if (w->is_draining)
		drain_due(w);
	gr_worker_pump(w);
}

static uint32_t count_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

/* Limits may change while the worker runs: a pod resized in place, a group's file written. Of fewer slots than before the
 * upper ones run to their end. */
void gr_worker_look_at_limits(struct gr_worker *w)
{
	gr_cgroup_limits(w->cgroup, &w->limits);
	w->n_cpus = count_cpus();
	w->n_use = w->cfg->slots ? (uint32_t)w->cfg->slots : gr_slots_of(&w->limits, w->n_cpus, w->node_mem_bytes);
	if (w->n_use > GR_SANDBOX_SLOTS)
		w->n_use = GR_SANDBOX_SLOTS;
	if (w->n_slots < w->n_use)
		w->n_slots = w->n_use;
	if (!w->limits.mem_bytes)
		w->limits.mem_bytes = w->node_mem_bytes;
}

static void count_slots(struct gr_worker *w)
{
	struct sysinfo si;

	w->node_mem_bytes = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : 0;
	gr_worker_look_at_limits(w);
	gr_info("main", "%u slots (%u CPUs, quota %llu mcpu, memory limit %llu MiB)", w->n_slots, w->n_cpus,
		(unsigned long long)w->limits.quota_mcpu, (unsigned long long)(w->limits.mem_bytes >> 20));
}

/* From any state of start or end: memory and handles. */
static void fini(struct gr_worker *w)
{
	gr_commands_settle(w->commands);
	for (int st = 0; st < GR_N_TASK_STATES; st++)
		GR_LIST_EACH_SAFE(t, &w->lists[st], struct gr_wtask, link) {
			if (t->s) {
				gr_task_release(t);
				t->s->n_tasks--;
			}
			gr_task_free(t);
		}
	gr_map_fini(&w->tasks);
	GR_LIST_EACH_SAFE(s, &w->session_list, struct gr_wsession, link) {
		struct gr_wsession *gone = s;

		gr_session_close(&gone);
	}
	gr_map_fini(&w->sessions);
	gr_commands_free(&w->commands);
	gr_fetch_free(&w->fetch);
	gr_runs_free(&w->runs);
	gr_link_close(&w->link);
	gr_probe_close(&w->probe);
	if (w->loop) {
		gr_timer_stop(&w->timer);
		uv_idle_stop(&w->idle);
		uv_close((uv_handle_t *)&w->idle, NULL);
		gr_loop_run(w->loop);  /* the last closings, and the trees' removal */
		gr_loop_free(&w->loop);
	}
	gr_cas_close(&w->cas);
	gr_cgroup_free(&w->cgroup);
	gr_groups_free(&w->start.groups);
	gr_tools_fini(&w->tools);
}

static int run(struct gr_worker *w, struct gr_err *err)
{
	uint64_t seed;
	int rc;

	gr_tools_find(&w->tools, w->cfg->toolchains);
	rc = gr_start_choose_tier(w, err);
	if (rc < 0)
		return rc;
	rc = gr_cas_open("cas", (uint64_t)w->cfg->cache_bytes, &w->cas, err);
	if (rc < 0)
		return rc;
	count_slots(w);
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return gr_err_set(err, GR_EIO, "no random numbers: %s", strerror(errno));
	w->loop = gr_loop_new(seed);
	w->tasks.seed = gr_rng_u64(gr_loop_rng(w->loop));
	w->sessions.seed = gr_rng_u64(gr_loop_rng(w->loop));
	uv_idle_init(gr_loop_uv(w->loop), &w->idle);
	w->idle.data = w;
	w->fetch = gr_fetch_new(w);
	w->runs = gr_runs_new(w);
	rc = gr_commands_new(w, &w->commands, err);
	if (rc < 0)
		return rc;
	w->is_compressing = w->cfg->compress == GR_COMPRESS_ON || (w->cfg->compress == GR_COMPRESS_AUTO && !is_local(w->cfg->coordinator));
	if (w->cfg->probe) {
		rc = gr_probe_open(w, w->cfg->probe, &w->probe, err);
		if (rc < 0)
			return rc;
		gr_info("main", "probes answered on port %u", gr_probe_port(w->probe));
	}
	rc = gr_worker_connect(w, err);
	if (rc < 0)
		return rc;
	gr_loop_on_term(w->loop, on_term, w);
	w->timer = gr_timer_start(w->loop, TICK_MS, TICK_MS, on_tick, w);
	gr_loop_run(w->loop);
	gr_info("main", "ended after %u tasks", w->n_done);
	return 0;
}

int main(int argc, char **argv)
{
	struct gr_err err = { 0 };
	struct gr_worker_config cfg;
	struct gr_worker *w;
	int rc, spawner_fd;

	if (argc == 2 && !strcmp(argv[1], GR_PROCS_ARG))
		return gr_procs_child();
	gr_log_init("griddle-worker", GR_LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	spawner_fd = gr_spawner_fork(&err);
	if (spawner_fd < 0) {
		gr_error("main", "%s", err.text);
		return GR_EXIT_LOCAL;
	}
	rc = gr_worker_config_load(&cfg, argc, argv, environ, &err);
	if (rc > 0)
		return GR_EXIT_OK;
	if (rc < 0) {
		gr_error("main", "%s", err.text);
		return gr_err_exit(rc);
	}
	gr_log_init("griddle-worker", (enum gr_log_level)cfg.log_level);
	GR_NEW(w);
	w->cfg = &cfg;
	w->start.spawner_fd = spawner_fd;
	w->start.ready_fd = -1;
	gr_list_init(&w->session_list);
	for (int i = 0; i < GR_N_TASK_STATES; i++)
		gr_list_init(&w->lists[i]);
	w->cgroup = gr_cgroup_open("");
	rc = gr_start_privileged(&cfg, w->cgroup, &w->start, &err);
	if (rc >= 0)
		rc = run(w, &err);
	if (rc < 0) {
		gr_error("main", "%s", err.text);
		w->exit_code = gr_err_exit(rc);
	}
	fini(w);
	rc = w->exit_code;
	free(w);
	gr_worker_config_free(&cfg);
	return rc;
}
