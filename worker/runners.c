/* runners.c - the pool of runners; see runners.h */
#include "worker/runners.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/remove.h"
#include "worker/worker.h"

#define PROBE_MS 20000
#define MAX_RUNNERS 256u
#define MAX_FAILURES 5u                /* in a row; from then on one is tried now and then, and commands are handed back at once */
#define RETRY_NS (3 * GR_NS_PER_S)
#define IDLE_NS (60 * GR_NS_PER_S)
#define MAX_SHOWN 64u

struct gr_runners {
	struct gr_worker *w;
	const struct gr_runners_ops *ops;
	void *ctx;
	enum gr_tier tier;
	bool has_userns;
	struct gr_list all;
	uint32_t n, n_made, n_failures;
	uint64_t failed_ns;
	char why[256];                 /* the last failure */
	char *shown_text;
	const char *shown[MAX_SHOWN];
	uint32_t n_shown;
	uint8_t data[GR_RUNNER_OUTPUT_BYTES];
};

/* ---- folders ---- */

struct removal {
	uv_work_t req;
	char dir[32];
};

static void remove_work(uv_work_t *req)
{
	struct removal *r = GR_CONTAINER(req, struct removal, req);

	if (gr_remove_at(AT_FDCWD, r->dir) < 0)
		gr_warn("runners", "%s: not all of it can be removed", r->dir);
}

static void remove_done(uv_work_t *req, int status)
{
	(void)status;
	free(GR_CONTAINER(req, struct removal, req));
}

static void remove_later(struct gr_runners *p, const char *dir)
{
	struct removal *r;

	GR_NEW(r);
	snprintf(r->dir, sizeof(r->dir), "%s", dir);
	if (!p->w->loop || uv_queue_work(gr_loop_uv(p->w->loop), &r->req, remove_work, remove_done) < 0) {
		remove_work(&r->req);
		free(r);
	}
}

static int make_folders(struct gr_runner *r, struct gr_err *err)
{
	static const struct { const char *name; mode_t mode; } parts[] = {
		{ "", 0711 }, { "/root", 0755 }, { "/root" GR_RUNNER_TASK, 0755 }, { "/root" GR_RUNNER_TMP, 0700 },
		{ "/root" GR_RUNNER_SECRETS, 0700 },
	};
	char path[64];

	for (size_t i = 0; i < GR_LEN(parts); i++) {
		snprintf(path, sizeof(path), "%s%s", r->dir, parts[i].name);
		if (mkdir(path, parts[i].mode) < 0)
			return gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	}
	snprintf(path, sizeof(path), "%s/root" GR_RUNNER_TASK, r->dir);
	r->taskfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	snprintf(path, sizeof(path), "%s/root" GR_RUNNER_SECRETS, r->dir);
	r->secretsfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return r->taskfd < 0 || r->secretsfd < 0 ? gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno)) : 0;
}

void gr_runners_path(const struct gr_runner *r, const char *name, char out[4400])
{
	if (r->pool->tier == GR_TIER_NAMESPACE)
		snprintf(out, 4400, "%s", name);
	else
		snprintf(out, 4400, "%s/%s/root%s", r->pool->w->start.state_path, r->dir, name);
}

/* ---- opening and ending ---- */

static void poll_closed(uv_handle_t *h)
{
	free(h);
}

void gr_runners_drop(struct gr_runner **rp)
{
	struct gr_runner *r = *rp;

	*rp = NULL;
	if (r->poll) {
		uv_poll_stop(r->poll);
		uv_close((uv_handle_t *)r->poll, poll_closed);
	}
	if (r->fd >= 0)
		close(r->fd);
	if (r->taskfd >= 0)
		close(r->taskfd);
	if (r->secretsfd >= 0)
		close(r->secretsfd);
	if (r->group >= 0)
		gr_groups_remove(r->pool->w->start.groups, r->group);
	gr_list_del(&r->link);
	r->pool->n--;
	remove_later(r->pool, r->dir);
	free(r);
}

static void failed(struct gr_runners *p, const char *why)
{
	p->n_failures++;
	p->failed_ns = gr_loop_now_ns(p->w->loop);
	snprintf(p->why, sizeof(p->why), "%.200s", why);
}

static void gone(struct gr_runner *r, const char *why)
{
	struct gr_runners *p = r->pool;

	if (r->state == GR_RN_OPENING) {
		failed(p, why);
		gr_warn("runners", "%s", why);
	}
	if (r->state == GR_RN_BUSY && p->ops->on_gone(p->ctx, r, why)) {
		r->state = GR_RN_DEAD;
		uv_poll_stop(r->poll);
	} else {
		gr_runners_drop(&r);
	}
	p->ops->on_idle(p->ctx);
}

static bool is_one(const struct gr_runners *p, const struct gr_runner *it)
{
	GR_LIST_EACH(r, &p->all, struct gr_runner, link)
		if (r == it)
			return true;
	return false;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
	struct gr_runner *r = h->data;
	struct gr_runners *p = r->pool;
	struct gr_runner_event ev;
	bool has_ended = false;
	int rc;

	(void)status;
	(void)events;
	while ((rc = gr_runner_next(r->fd, &ev, p->data)) > 0) {
		if (ev.kind == GR_RUNNER_READY) {
			if (r->group >= 0 && !ev.has_group) {
				gr_warn("runners", "the memory of a runner is watched: it cannot join its cgroup");
				gr_groups_remove(p->w->start.groups, r->group);
				r->group = -1;
			}
			r->state = GR_RN_IDLE;
			r->since_ns = gr_loop_now_ns(p->w->loop);
			p->n_failures = 0;
			p->ops->on_idle(p->ctx);
			return;       /* taken perhaps, and what else there is comes with the next turn */
		}
		if (ev.kind == GR_RUNNER_FAILED) {
			gone(r, ev.text);
			return;
		}
		if (r->state != GR_RN_BUSY)
			continue;
		p->ops->on_event(p->ctx, r, &ev, p->data);
		has_ended |= ev.kind != GR_RUNNER_OUTPUT;
		if (has_ended && !is_one(p, r))
			break;
	}
	if (rc < 0)
		gone(r, "the command's runner is gone");
	else if (has_ended)
		p->ops->on_idle(p->ctx);
}

/* Without one its memory is watched. */
static bool make_group(struct gr_runner *r, struct gr_group *out)
{
	struct gr_groups *groups = r->pool->w->start.groups;
	struct gr_err why = { 0 };

	gr_group_init(out);
	if (!groups)
		return false;
	r->group = gr_groups_make(groups, out, &why);
	if (r->group < 0)
		gr_warn("runners", "the memory of a runner is watched: %s", why.text);
	return r->group >= 0;
}

static struct gr_runner *make(struct gr_runners *p, bool has_net, struct gr_err *err)
{
	struct gr_sandbox_spec spec = {
		.tier = p->tier, .has_userns = p->has_userns, .cachefd = -1, .uid = p->w->start.uid, .gid = p->w->start.gid,
		.tmp_bytes = (uint64_t)p->w->cfg->tmp_bytes, .shown = p->shown, .n_shown = p->n_shown, .is_runner = true,
		.has_net = has_net,
	};
	struct gr_group group;
	struct gr_runner *r;
	char root[4352], path[64];
	int rc;

	GR_NEW(r);
	r->pool = p;
	r->has_net = has_net;
	r->fd = r->taskfd = r->secretsfd = r->group = -1;
	gr_list_init(&r->link);
	gr_list_push(&p->all, &r->link);
	p->n++;
	snprintf(r->dir, sizeof(r->dir), "runs/%u", p->n_made++);
	rc = make_folders(r, err);
	snprintf(path, sizeof(path), "%s/root", r->dir);
	spec.rootfd = rc < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (rc == 0 && spec.rootfd < 0)
		rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	if (p->tier == GR_TIER_LANDLOCK) {
		snprintf(root, sizeof(root), "%s/%s", p->w->start.state_path, path);
		spec.root_path = root;
	}
	if (rc == 0 && make_group(r, &group))
		spec.group = &group;
	if (rc == 0) {
		rc = r->fd = gr_sandbox_open(p->w->start.spawner_fd, &spec, err);
		gr_group_close(&group);
	}
	if (spec.rootfd >= 0)
		close(spec.rootfd);
	if (rc < 0) {
		gr_runners_drop(&r);
		return NULL;
	}
	return r;
}

static void watch(struct gr_runner *r)
{
	GR_NEW(r->poll);
	r->poll->data = r;
	uv_poll_init(gr_loop_uv(r->pool->w->loop), r->poll, r->fd);
	uv_poll_start(r->poll, UV_READABLE | UV_DISCONNECT, on_readable);
	r->since_ns = gr_loop_now_ns(r->pool->w->loop);
}

/* ---- the choice of the tier ---- */

static bool try_tier(struct gr_runners *p, enum gr_tier tier, bool has_userns, struct gr_err *err)
{
	struct gr_runner_event ev = { 0 };
	struct gr_runner *r;
	struct pollfd pf;
	int rc;

	p->tier = tier;
	p->has_userns = has_userns;
	r = make(p, false, err);
	if (!r)
		return false;
	pf = (struct pollfd){ r->fd, POLLIN, 0 };
	while ((rc = gr_runner_next(r->fd, &ev, p->data)) == 0 && poll(&pf, 1, PROBE_MS) > 0)
		;
	if (rc > 0 && ev.kind == GR_RUNNER_READY) {
		r->state = GR_RN_IDLE;         /* the first in stock */
		return true;
	}
	gr_err_set(err, GR_ESANDBOX, "%s", rc > 0 ? ev.text : rc < 0 ? "no answer" : "no answer in time");
	gr_runners_drop(&r);
	return false;
}

/* Folders that a task has of its own: what is shown below them would lie in what a runner clears behind each task. */
static bool is_own_place(const char *path)
{
	static const char *const own[] = { "/tmp", "/task", "/secrets", "/dev", "/proc" };

	for (size_t i = 0; i < GR_LEN(own); i++) {
		size_t n = strlen(own[i]);

		if (!strncmp(path, own[i], n) && (!path[n] || path[n] == '/'))
			return true;
	}
	return false;
}

static void split_shown(struct gr_runners *p, const char *text)
{
	char *save, *word;

	p->shown_text = gr_xstrdup(text);
	for (word = strtok_r(p->shown_text, ",", &save); word && p->n_shown < MAX_SHOWN; word = strtok_r(NULL, ",", &save)) {
		if (is_own_place(word))
			gr_warn("runners", "command-show: %s: a task has that place for its own; it is not shown", word);
		else if (word[0] == '/')
			p->shown[p->n_shown++] = word;
		else
			gr_warn("runners", "command-show: %s: wants an absolute path", word);
	}
}

struct gr_runners *gr_runners_new(struct gr_worker *w, const struct gr_runners_ops *ops, void *ctx, struct gr_err *err)
{
	struct gr_err why = { 0 };
	struct gr_runners *p;

	GR_NEW(p);
	p->w = w;
	p->ops = ops;
	p->ctx = ctx;
	gr_list_init(&p->all);
	split_shown(p, w->cfg->command_show);
	if (w->tier == GR_TIER_NAMESPACE && try_tier(p, GR_TIER_NAMESPACE, w->has_userns, err))
		return p;
	if (w->cfg->require_sandbox != GR_REQUIRE_NAMESPACE && try_tier(p, GR_TIER_LANDLOCK, false, &why))
		return p;
	if (w->tier != GR_TIER_NAMESPACE || !err->text[0])
		gr_err_set(err, GR_ESANDBOX, "%s", why.text[0] ? why.text : "the tier that is required is not possible");
	gr_runners_free(&p);
	return NULL;
}

void gr_runners_free(struct gr_runners **pp)
{
	struct gr_runners *p = *pp;

	if (!p)
		return;
	GR_LIST_EACH_SAFE(r, &p->all, struct gr_runner, link) {
		struct gr_runner *it = r;

		gr_runners_drop(&it);
	}
	free(p->shown_text);
	free(p);
	*pp = NULL;
}

enum gr_tier gr_runners_tier(const struct gr_runners *p)
{
	return p ? p->tier : GR_TIER_NONE;
}

/* ---- taking and giving ---- */

static struct gr_runner *find(struct gr_runners *p, uint64_t job, bool has_net, enum gr_runner_state state)
{
	GR_LIST_EACH(r, &p->all, struct gr_runner, link)
		if (r->state == state && r->job == job && r->has_net == has_net)
			return r;
	return NULL;
}

static bool make_room(struct gr_runners *p)
{
	uint32_t max = 2 * p->w->n_slots + 4 < MAX_RUNNERS ? 2 * p->w->n_slots + 4 : MAX_RUNNERS;

	if (p->n < max)
		return true;
	GR_LIST_EACH_SAFE(r, &p->all, struct gr_runner, link)
		if (r->state == GR_RN_IDLE) {
			gr_runners_drop(&r);
			return true;
		}
	return p->n < MAX_RUNNERS;
}

static struct gr_runner *open_more(struct gr_runners *p, uint64_t job, bool has_net, struct gr_err *err)
{
	struct gr_runner *r = make_room(p) ? make(p, has_net, err) : NULL;

	if (!r)
		return NULL;
	r->job = job;
	watch(r);
	return r;
}

int gr_runners_take(struct gr_runners *p, uint64_t job, bool has_net, struct gr_runner **out, struct gr_err *err)
{
	struct gr_runner *r = find(p, job, has_net, GR_RN_IDLE);

	if (!r)
		r = find(p, 0, has_net, GR_RN_IDLE);
	if (!r) {
		if (p->n_failures >= MAX_FAILURES && gr_loop_now_ns(p->w->loop) - p->failed_ns < RETRY_NS)
			return gr_err_set(err, GR_ESANDBOX, "the sandbox failed %u times in a row: %s", p->n_failures, p->why);
		if (find(p, job, has_net, GR_RN_OPENING) || find(p, 0, has_net, GR_RN_OPENING))
			return 0;
		err->text[0] = 0;
		if (!open_more(p, job, has_net, err) && err->text[0]) {
			failed(p, err->text);
			return err->code;
		}
		return 0;
	}
	if (!r->poll)
		watch(r);
	r->job = job;
	r->state = GR_RN_BUSY;
	r->since_ns = gr_loop_now_ns(p->w->loop);
	gr_list_del(&r->link);
	gr_list_push(&p->all, &r->link);
	if (!find(p, 0, false, GR_RN_IDLE) && !find(p, 0, false, GR_RN_OPENING) && p->n < p->w->n_slots + 2) {
		struct gr_err ignored = { 0 };

		if (!open_more(p, 0, false, &ignored))
			gr_debug("runners", "none in stock: %s", ignored.text);
	}
	*out = r;
	return 1;
}

void gr_runners_give(struct gr_runner *r)
{
	if (r->state == GR_RN_DEAD) {
		gr_runners_drop(&r);
		return;
	}
	r->state = GR_RN_IDLE;
	r->command = NULL;
	r->since_ns = gr_loop_now_ns(r->pool->w->loop);
}

void gr_runners_tick(struct gr_runners *p)
{
	uint64_t now_ns = gr_loop_now_ns(p->w->loop);

	if (p->w->start.groups)
		gr_groups_tick(p->w->start.groups);
	GR_LIST_EACH_SAFE(r, &p->all, struct gr_runner, link)
		if (r->state == GR_RN_IDLE && r->job && now_ns - r->since_ns > IDLE_NS)
			gr_runners_drop(&r);
}
