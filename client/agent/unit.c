/**
 * unit - the life of one compile: from the wrapper's request to its answer
 *
 *   NEW -> (TOOLCHAIN) -> (DEPENDS) -> planned -> cache hit: answered
 *                                 -> local: (TOKEN) -> SLOT -> LOCAL, until the local compiler ends
 *                                 -> (UPLINK, QUEUED) -> AWAY -> outputs written -> (TOKEN) -> answered
 *
 * A unit that waited is planned anew when its turn comes, so what is sent is always true at that moment. Whatever goes
 * wrong on the way ends in SLOT with a reason, which is counted and shown; only the compiler's own word (an exit code
 * of a compile that ran to its end) goes to the wrapper as it is.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "client/agent/agent.h"
#include "client/agent/cache.h"
#include "client/agent/plan.h"
#include "client/agent/terminal.h"
#include "client/agent/toolchains.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/cc/files.h"

#define MAX_REDO 3u
#define TOKEN_WAIT_MS 5000u
#define SLOT_WAIT_MS 15000u

const char *gr_unit_state_name(enum gr_unit_state state)
{
	static const char *const names[] = {
#define X(name, text) #name,
		GR_UNIT_STATE_MAP(X)
#undef X
	};
	return state < GR_UNIT_N_STATES ? names[state] : "?";
}

static bool is_in_flight(enum gr_unit_state s)
{
	return s == GR_UNIT_AWAY || s == GR_UNIT_QUEUED || s == GR_UNIT_UPLINK;
}

void gr_unit_move(struct gr_unit *u, enum gr_unit_state state)
{
	struct gr_agent *a = u->agent;

	if (u->on.next != &u->on) {
		gr_list_del(&u->on);
		a->n_units[u->state]--;
		u->build->in_flight -= is_in_flight(u->state);
		u->build->waiting_local -= u->state == GR_UNIT_SLOT;
	}
	u->state = state;
	u->since_ns = gr_loop_now_ns(a->loop);
	gr_list_push(&a->units[state], &u->on);
	a->n_units[state]++;
	u->build->in_flight += is_in_flight(state);
	u->build->waiting_local += state == GR_UNIT_SLOT;
	a->busy_ns = u->since_ns;
}

static void leave_tasks(struct gr_unit *u)
{
	if (u->task && gr_map_get(&u->agent->tasks, &u->task, sizeof(u->task)) == u)
		gr_map_del(&u->agent->tasks, &u->task, sizeof(u->task));
	u->task = 0;
}

static void unit_free(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;

	leave_tasks(u);
	gr_depends_drop(u);
	gr_local_forget(u);
	if (u->has_lent && u->build->jobserver)
		gr_jobserver_owe(u->build->jobserver);
	gr_list_del(&u->on);
	a->n_units[u->state]--;
	u->build->in_flight -= is_in_flight(u->state);
	u->build->waiting_local -= u->state == GR_UNIT_SLOT;
	gr_build_unref(&u->build);
	gr_plan_free(&u->plan);
	gr_buf_fini(&u->frame);
	gr_buf_fini(&u->answer);
	free(u->req.argv);
	free(u->req.bytes);
	free(u->reason);
	free(u->detail);
	free(u);
}

void gr_unit_new(struct gr_agent *a, struct gr_conn *conn, struct gr_request *req)
{
	struct gr_unit *u;

	GR_NEW(u);
	gr_list_init(&u->on);
	u->agent = a;
	u->conn = conn;
	u->pidfd = -1;
	u->req = *req;
	*req = (struct gr_request){ 0 };
	u->build = gr_build_find(a, gr_request_env(&u->req, "GRIDDLE_BUILD"));
	gr_conn_set_unit(conn, u);
	gr_unit_move(u, GR_UNIT_NEW);
	gr_unit_go(u);
}

/* ---- answers ---- */

static void make_answer(struct gr_buf *b, enum gr_agent_type type, int exit_code, struct gr_slice out, struct gr_slice err, const char *why)
{
	struct gr_agent_head head = { .magic = GR_AGENT_MAGIC, .version = GR_AGENT_VERSION, .type = (uint16_t)type };
	struct gr_slice text = gr_slice_str(why);

	head.n_body = (uint32_t)(out.n + err.n + text.n);
	head.u.reply.exit_code = exit_code;
	head.u.reply.n_out = (uint32_t)out.n;
	head.u.reply.n_err = (uint32_t)err.n;
	gr_buf_clear(b);
	gr_buf_reserve(b, sizeof(head) + head.n_body);
	gr_buf_add(b, &head, sizeof(head));
	gr_buf_add(b, out.p, out.n);
	gr_buf_add(b, err.p, err.n);
	gr_buf_add(b, text.p, text.n);
}

/* True when the token that was lent on this unit's account is back, or nobody asks for it. */
static bool token_is_back(struct gr_unit *u)
{
	struct gr_jobserver *j = u->build->jobserver;

	if (u->has_lent && j && !gr_jobserver_take(j))
		return false;
	u->has_lent = false;
	return true;
}

static void wait_for_token(struct gr_unit *u)
{
	gr_unit_move(u, GR_UNIT_TOKEN);
	gr_jobserver_watch(u->build->jobserver, u->build);
}

static void send_answer(struct gr_unit *u)
{
	if (u->conn)
		gr_conn_answer(&u->conn, gr_buf_slice(&u->answer), -1);
	unit_free(u);
}

/* The answer is in u->answer. */
static void finish(struct gr_unit *u)
{
	leave_tasks(u);
	if (token_is_back(u))
		send_answer(u);
	else
		wait_for_token(u);
}

void gr_unit_token(struct gr_unit *u)
{
	u->has_lent = false;
	if (u->reason)
		gr_local_request(u);
	else
		send_answer(u);
}

void gr_unit_start_local(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;

	gr_build_count_local(a, u->build, u->plan && u->plan->cmd.source ? u->plan->cmd.source : u->req.argv[u->req.n_args - 1],
			     u->reason, u->detail);
	gr_debug("unit", "here: %s: %s%s%s", u->plan && u->plan->cmd.source ? u->plan->cmd.source : "?", u->reason,
		 u->detail && *u->detail ? ": " : "", u->detail ? u->detail : "");
	/* Opened before the answer: the wrapper waits, so the pid is its own. */
	if (u->req.pid > 0)
		u->pidfd = (int)syscall(SYS_pidfd_open, u->req.pid, 0);
	make_answer(&u->answer, GR_AGENT_LOCAL, 0, gr_slice(NULL, 0), gr_slice(NULL, 0), u->reason);
	gr_unit_move(u, GR_UNIT_LOCAL);
	gr_plan_free(&u->plan);
	gr_buf_fini(&u->frame);
	if (u->conn)
		gr_conn_answer(&u->conn, gr_buf_slice(&u->answer), -1);
	gr_local_watch(u);
}

static void run_local(struct gr_unit *u, const char *reason, const char *detail)
{
	struct gr_agent *a = u->agent;

	if (u->state == GR_UNIT_AWAY && u->task)
		gr_uplink_cancel(a, u->task);
	leave_tasks(u);
	gr_depends_drop(u);
	free(u->reason);
	free(u->detail);
	u->reason = gr_xstrdup(reason);
	u->detail = gr_xstrdup(detail ? detail : "");
	if (!token_is_back(u))
		wait_for_token(u);
	else
		gr_local_request(u);
}

void gr_unit_run_local(struct gr_unit *u, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	run_local(u, text, NULL);
}

void gr_unit_hung_up(struct gr_unit *u)
{
	if (u->state == GR_UNIT_AWAY && u->task)
		gr_uplink_cancel(u->agent, u->task);
	unit_free(u);
}

/* ---- finding where it runs ---- */

static int write_outputs(struct gr_unit *u, const struct gr_cached *what)
{
	const struct gr_plan *p = u->plan;
	mode_t mode = 0666 & ~u->req.umask;
	uint32_t i;
	int rc = 0;

	/* The object last: when another file cannot be written, the compiler would not have come to it. */
	for (i = 0; i < 2 * what->n_outputs && rc == 0; i++) {
		const struct gr_plan_output *o = &p->outputs[what->outputs[i % what->n_outputs].index];
		bool is_anew = o->kind == GR_CC_OUT_OBJECT || o->kind == GR_CC_OUT_DWO;

		if ((o->kind == GR_CC_OUT_OBJECT) != (i >= what->n_outputs))
			continue;
		rc = gr_output_write(o->local, is_anew ? GR_OUTPUT_ANEW : GR_OUTPUT_IN_PLACE, mode,
				     what->outputs[i % what->n_outputs].data);
		if (rc < 0)
			gr_debug("unit", "%s: %s", o->local, gr_err_text(rc));
	}
	return rc;
}

/* Return: true when the unit was answered from the cache. */
static bool try_cache(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;
	struct gr_cached hit = { 0 };
	bool is_hit;

	if (!a->cache || u->build->no_cache || gr_request_env(&u->req, "GRIDDLE_NO_CACHE"))
		return false;
	is_hit = gr_cache_find(u, &hit) > 0 && gr_terminal_fits(&u->req, hit.err) && !(hit.err.n && u->plan->has_odd_messages) &&
		 write_outputs(u, &hit) == 0;
	if (is_hit) {
		u->build->n.cached++;
		a->total.cached++;
		make_answer(&u->answer, GR_AGENT_DONE, 0, hit.out, hit.err, "cached");
	}
	gr_cached_fini(&hit);
	if (is_hit)
		finish(u);
	return is_hit;
}

static void send_away(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;
	const char *reason;
	int rc;

	if (gr_session_is_full(a->session) && !a->n_units[GR_UNIT_AWAY]) {
		gr_uplink_drop_session(a);
		gr_unit_move(u, GR_UNIT_UPLINK);
		return;
	}
	if (gr_session_is_full(a->session)) {       /* the next session begins when those away are back */
		gr_unit_move(u, GR_UNIT_QUEUED);
		return;
	}
	rc = gr_plan_encode(u, &reason);
	if (rc < 0) {
		run_local(u, reason, NULL);
		return;
	}
	gr_unit_move(u, GR_UNIT_AWAY);
	gr_map_put(&a->tasks, &u->task, sizeof(u->task), u);
	u->deadline_ns = u->since_ns + (uint64_t)a->conf->unit_timeout_ms * GR_NS_PER_MS;
	rc = gr_uplink_send_task(u);
	/* When the link has just gone, the session's reopening sends it. */
	if (rc == GR_EBUSY) {
		leave_tasks(u);
		gr_unit_move(u, GR_UNIT_QUEUED);
		return;
	}
	if (!u->has_lent && u->build->jobserver)
		u->has_lent = gr_jobserver_lend(u->build->jobserver);
}

void gr_unit_go(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;
	int64_t remote = u->build->remote >= 0 ? u->build->remote : a->conf->remote;
	const char *reason = NULL, *detail = "";
	int rc;

	if (a->is_ending) {
		run_local(u, "the agent is ending", NULL);
		return;
	}
	rc = gr_toolchains_get(u);
	if (rc == 0)
		return;
	if (rc < 0) {
		run_local(u, u->toolchain ? u->toolchain->reason : "too many compilers", NULL);
		return;
	}
	gr_cc_files_drain(a->files, (int64_t)(gr_clock_real_ms() * GR_NS_PER_MS));
	rc = gr_plan_parse(u, &reason, &detail);
	if (rc < 0)
		goto local;
	rc = gr_toolchains_search(u, &u->plan->cmd, &u->plan->search);
	if (rc == 0)
		return;
	if (rc < 0) {
		reason = "search list of the compiler unknown";
		goto local;
	}
	rc = gr_plan_close(u, &reason, &detail);
	if (rc < 0 && rc != GR_EBUSY)
		goto local;
	if (rc == 0 && try_cache(u))
		return;
	if (remote == GR_REMOTE_NEVER) {
		reason = "--remote never";
		goto local;
	}
	if (!u->has_lent && gr_local_prefers(a, u->build)) {
		reason = "few compiles in flight";
		goto local;
	}
	if (rc == GR_EBUSY) {
		const char *why = gr_depends_why(u);

		if (!why && (gr_uplink_is_up(a) || gr_uplink_may_return(a)) && gr_depends_start(u))
			return;
		reason = why ? why : gr_uplink_is_up(a) ? reason : gr_uplink_why(a);
		goto local;
	}
	if (!gr_uplink_is_up(a)) {
		if (gr_uplink_may_return(a)) {
			gr_unit_move(u, GR_UNIT_UPLINK);
			return;
		}
		reason = gr_uplink_why(a);
		goto local;
	}
	if (gr_uplink_lacks(a, &u->plan->toolchain)) {
		char hex[GR_DIGEST_HEX];

		gr_digest_hex(&u->plan->toolchain, hex);
		gr_unit_run_local(u, "no worker has toolchain %s (%.12s)", u->toolchain->t->name, hex);
		return;
	}
	if (!gr_uplink_has_credit(a)) {
		gr_unit_move(u, GR_UNIT_QUEUED);
		return;
	}
	send_away(u);
	return;
local:
	run_local(u, reason, detail);
}

void gr_unit_toolchain_ready(struct gr_unit *u)
{
	gr_unit_move(u, GR_UNIT_NEW);
	gr_unit_go(u);
}

/* Each unit of @from is planned anew once; those that come back to the list stay for the next time. */
static void go_all(struct gr_agent *a, enum gr_unit_state from, uint32_t max)
{
	uint32_t n = a->n_units[from] < max ? a->n_units[from] : max;

	while (n-- && !gr_list_is_empty(&a->units[from])) {
		struct gr_unit *u = GR_CONTAINER(a->units[from].next, struct gr_unit, on);

		gr_unit_move(u, GR_UNIT_NEW);
		gr_unit_go(u);
	}
}

void gr_unit_pump(struct gr_agent *a)
{
	uint32_t n = a->n_units[GR_UNIT_QUEUED];

	if (gr_uplink_is_up(a))
		go_all(a, GR_UNIT_UPLINK, UINT32_MAX);
	while (n-- && a->n_units[GR_UNIT_QUEUED] && gr_uplink_is_up(a) && gr_uplink_has_credit(a))
		go_all(a, GR_UNIT_QUEUED, 1);
}

void gr_unit_redo_all(struct gr_agent *a)
{
	gr_plan_new_session(a);
	GR_LIST_EACH(u, &a->units[GR_UNIT_AWAY], struct gr_unit, on)
		u->task = 0;
	go_all(a, GR_UNIT_AWAY, UINT32_MAX);
}

/* ---- results ---- */

static bool contains(struct gr_slice text, const char *what)
{
	return text.n && memmem(text.p, text.n, what, strlen(what));
}

/* A gap in the include scanner could only show as a file that is missing, and the compiler names it then. */
static bool blames_missing_file(struct gr_slice err)
{
	return contains(err, "No such file or directory") || contains(err, "file not found") || contains(err, "cannot open") ||
	       contains(err, "can't open") || contains(err, "can't read") || contains(err, "Cannot allocate memory") ||
	       contains(err, "memory exhausted") || contains(err, "No space left on device") || contains(err, "Killed") ||
	       contains(err, "internal compiler error") || contains(err, "Operation not permitted") || contains(err, "Permission denied");
}

static bool has_word(const struct gr_plan *p, const char *word)
{
	int i;

	for (i = 1; i < p->words.argc; i++)
		if (!strcmp(p->words.argv[i], word))
			return true;
	return false;
}

/* Whether the driver removes an object that was there before a compile that failed. gcc does when `as` had been
 * started: it failed, or -pipe had it waiting for cc1's output. clang always does, but the same with an outside `as`. */
static bool removes_object(const struct gr_plan *p, struct gr_slice err)
{
	if (contains(err, "Assembler messages:") || has_word(p, "-pipe"))
		return true;
	return p->cmd.family == GR_CC_CLANG && !has_word(p, "-fno-integrated-as") && !has_word(p, "-no-integrated-as");
}

static bool unpack_outputs(struct gr_unit *u, const struct gr_result_msg *m, struct gr_cached *out)
{
	size_t total = 0, at[GR_CC_MAX_SIDE_OUTPUTS] = { 0 };
	uint32_t i, have = 0;

	for (i = 0; i < m->n_outputs; i++) {
		if (m->outputs[i].index >= u->plan->n_outputs || (have & 1u << m->outputs[i].index))
			return false;
		have |= 1u << m->outputs[i].index;
		if (m->outputs[i].size > GR_WIRE_MAX_OUTPUT_BYTES)
			return false;
		total += m->outputs[i].size;
	}
	if (total > GR_WIRE_MAX_OUTPUT_BYTES)
		return false;
	for (i = 0; i < u->plan->n_outputs; i++)
		if (u->plan->outputs[i].is_required && !m->exit_code && !(have & 1u << i))
			return false;
	for (i = 0; i < m->n_outputs; i++) {
		const struct gr_result_out *o = &m->outputs[i];

		at[i] = out->bytes.n;
		out->outputs[i].index = o->index;
		if (o->enc == GR_ENC_RAW && o->data.n == o->size) {
			out->outputs[i].data = o->data;
			continue;
		}
		if (gr_unpack(o->data, o->enc, o->size, GR_WIRE_MAX_OUTPUT_BYTES, &out->bytes) < 0)
			return false;
		out->outputs[i].data = gr_slice(NULL, (size_t)o->size);
	}
	for (i = 0; i < m->n_outputs; i++)
		if (!out->outputs[i].data.p && out->outputs[i].data.n)
			out->outputs[i].data.p = out->bytes.p + at[i];
	out->n_outputs = m->n_outputs;
	out->out = m->out;
	out->err = m->err;
	return true;
}

static void count_remote(struct gr_unit *u, const struct gr_result_msg *m)
{
	u->build->n.remote++;
	u->agent->total.remote++;
	u->build->n.remote_cpu_us += m->cpu_us;
	u->agent->total.remote_cpu_us += m->cpu_us;
	if (m->exit_code) {
		u->build->n.failed++;
		u->agent->total.failed++;
	}
}

static void store(struct gr_unit *u, const struct gr_cached *what)
{
	struct gr_slice depfile = gr_slice(NULL, 0);
	uint32_t i;

	if (!u->agent->cache || u->build->no_cache || gr_request_env(&u->req, "GRIDDLE_NO_CACHE"))
		return;
	for (i = 0; i < what->n_outputs; i++)
		if (u->plan->outputs[what->outputs[i].index].kind == GR_CC_OUT_DEPFILE)
			depfile = what->outputs[i].data;
	gr_cache_store(u, what, depfile);
}

/* False when the result is not for the caller as it is, or nobody waits any more: then @u was dealt with. */
static bool can_deliver(struct gr_unit *u, const struct gr_result_msg *m)
{
	if (!gr_terminal_fits(&u->req, m->err)) {
		run_local(u, "messages wider than the terminal", NULL);
		return false;
	}
	if (u->conn && !gr_conn_is_alive(u->conn)) {
		gr_conn_drop(&u->conn);
		unit_free(u);
		return false;
	}
	return true;
}

static void compiled(struct gr_unit *u, const struct gr_result_msg *m)
{
	struct gr_cached got = { 0 };
	char text[200];

	if (!unpack_outputs(u, m, &got)) {
		run_local(u, "a worker's result lacks outputs", NULL);
		goto out;
	}
	if (m->err.n && u->plan->has_odd_messages) {
		run_local(u, "messages in a language or for a terminal that a worker may not know", NULL);
		goto out;
	}
	if (!can_deliver(u, m))
		goto out;
	if (write_outputs(u, &got) < 0) {
		run_local(u, "an output could not be written", NULL);
		goto out;
	}
	count_remote(u, m);
	store(u, &got);
	snprintf(text, sizeof(text), "remote, %llu ms of CPU there", (unsigned long long)(m->cpu_us / 1000));
	make_answer(&u->answer, GR_AGENT_DONE, 0, m->out, m->err, text);
	finish(u);
out:
	gr_cached_fini(&got);
}

static void compile_failed(struct gr_unit *u, const struct gr_result_msg *m)
{
	struct gr_cached got = { 0 };
	uint32_t i;

	if (blames_missing_file(m->err) || !m->err.n || u->plan->has_odd_messages || !unpack_outputs(u, m, &got)) {
		run_local(u, "failed on a worker, perhaps for the worker's reasons", NULL);
		goto out;
	}
	if (!can_deliver(u, m))
		goto out;
	/* gcc opens its .gcno before it reads the source, and removes it when that has errors. */
	for (i = 0; i < u->plan->n_outputs; i++)
		if (u->plan->outputs[i].kind == GR_CC_OUT_OBJECT ? removes_object(u->plan, m->err) :
		    u->plan->outputs[i].kind == GR_CC_OUT_GCNO && u->plan->cmd.family == GR_CC_GCC)
			gr_output_discard(u->plan->outputs[i].local);
	/* A depfile, .gcno or .su is there after a failed compile too. */
	if (write_outputs(u, &got) < 0) {
		run_local(u, "an output could not be written", NULL);
		goto out;
	}
	count_remote(u, m);
	make_answer(&u->answer, GR_AGENT_DONE, m->exit_code, m->out, m->err, "remote");
	finish(u);
out:
	gr_cached_fini(&got);
}

static void retry(struct gr_unit *u, const struct gr_result_msg *m)
{
	char reason[300];

	u->build->n.retries++;
	u->agent->total.retries++;
	snprintf(reason, sizeof(reason), "%.*s", (int)(m->reason.n < 250 ? m->reason.n : 250), (const char *)m->reason.p);
	if (++u->n_redo > MAX_REDO) {
		run_local(u, *reason ? reason : gr_outcome_name(m->outcome), NULL);
		return;
	}
	/* As a rule an input changed between its digest and its bytes. */
	leave_tasks(u);
	gr_plan_doubt(u);
	gr_unit_move(u, GR_UNIT_NEW);
	gr_unit_go(u);
}

void gr_unit_result(struct gr_unit *u, const struct gr_result_msg *m)
{
	char reason[300];

	if (u->state != GR_UNIT_AWAY)
		return;
	leave_tasks(u);
	switch (m->outcome) {
	case GR_OUTCOME_DONE:
		if (m->term_signal)
			gr_unit_run_local(u, "the compiler died by signal %d on a worker", m->term_signal);
		else if (m->exit_code)
			compile_failed(u, m);
		else
			compiled(u, m);
		return;
	case GR_OUTCOME_RETRY:
		retry(u, m);
		return;
	case GR_OUTCOME_REFUSED:
		snprintf(reason, sizeof(reason), "%.*s", (int)(m->reason.n < 250 ? m->reason.n : 250), (const char *)m->reason.p);
		run_local(u, *reason ? reason : "refused", NULL);
		return;
	case GR_OUTCOME_TIMEOUT:
		run_local(u, "over the time limit on a worker", NULL);
		return;
	case GR_OUTCOME_OOM:
		run_local(u, "out of memory on a worker", NULL);
		return;
	default:
		run_local(u, "cancelled by the cluster", NULL);
	}
}

/* ---- time ---- */

static bool is_stale(const struct gr_unit *u, uint64_t now_ns, uint64_t ms)
{
	return now_ns - u->since_ns > ms * GR_NS_PER_MS;
}

static struct gr_unit *first(struct gr_agent *a, enum gr_unit_state s)
{
	return gr_list_is_empty(&a->units[s]) ? NULL : GR_CONTAINER(a->units[s].next, struct gr_unit, on);
}

void gr_unit_tick(struct gr_agent *a, uint64_t now_ns)
{
	static const enum gr_unit_state away[] = { GR_UNIT_UPLINK, GR_UNIT_QUEUED, GR_UNIT_AWAY };
	struct gr_unit *u;
	size_t i;

	if (!gr_uplink_is_up(a) && !gr_uplink_may_return(a))
		for (i = 0; i < GR_LEN(away); i++)
			while ((u = first(a, away[i])))
				run_local(u, gr_uplink_why(a), NULL);
	GR_LIST_EACH_SAFE(v, &a->units[GR_UNIT_AWAY], struct gr_unit, on)
		if (now_ns > v->deadline_ns)
			run_local(v, "over the time limit", NULL);
	for (i = 0; i < 2; i++)
		while ((u = first(a, away[i])) && is_stale(u, now_ns, (uint64_t)a->conf->unit_timeout_ms))
			run_local(u, "waited too long for the cluster", NULL);
	while ((u = first(a, GR_UNIT_TOKEN)) && (!u->build->jobserver || is_stale(u, now_ns, TOKEN_WAIT_MS))) {
		if (u->build->jobserver)
			gr_jobserver_owe(u->build->jobserver);
		gr_unit_token(u);
	}
	u = first(a, GR_UNIT_SLOT);
	if (u && is_stale(u, now_ns, SLOT_WAIT_MS) && now_ns - a->slot_progress_ns > SLOT_WAIT_MS * GR_NS_PER_MS) {
		a->slot_progress_ns = now_ns;
		gr_unit_start_local(u);
	}
	gr_unit_pump(a);
}

uint32_t gr_unit_n_waiting(const struct gr_agent *a)
{
	uint32_t i, n = 0;

	for (i = 0; i < GR_UNIT_N_STATES; i++)
		if (i != GR_UNIT_LOCAL)
			n += a->n_units[i];
	return n;
}

void gr_unit_end_all(struct gr_agent *a)
{
	static const enum gr_unit_state waiting[] = { GR_UNIT_DEPENDS, GR_UNIT_UPLINK, GR_UNIT_QUEUED, GR_UNIT_AWAY };
	struct gr_unit *u;
	size_t i;

	for (i = 0; i < GR_LEN(waiting); i++)
		while ((u = first(a, waiting[i])))
			run_local(u, "the agent is ending", NULL);
	while ((u = first(a, GR_UNIT_TOKEN)))
		gr_unit_token(u);
	gr_local_ended(a);
	while ((u = first(a, GR_UNIT_LOCAL)))
		unit_free(u);
}
