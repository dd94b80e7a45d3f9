/**
 * runners - the pool of a worker's runners (worker/sandbox/runner.h)
 *
 * A runner belongs to one job while it has it, because shared memory and the like may outlive a command. One is opened
 * ahead and belongs to nobody yet, so that the first command of a job does not wait for namespaces to be made.
 */
#pragma once
#include "lib/base/list.h"
#include "lib/net/loop.h"
#include "worker/sandbox/runner.h"

struct gr_worker;
struct gr_runners;
enum gr_runner_state { GR_RN_OPENING, GR_RN_IDLE, GR_RN_BUSY, GR_RN_DEAD };

struct gr_runner {
	struct gr_list link;           /* runners->all, least recently used first */
	struct gr_runners *pool;
	enum gr_runner_state state;
	uint64_t job;                  /* 0: nobody's yet */
	bool has_net;
	int fd, taskfd, secretsfd;     /* taskfd: the commands' folder */
	int group;                     /* number of its cgroup; -1 none */
	uv_poll_t *poll;
	char dir[32];                  /* below the state folder; DIR/root is the runner's root */
	void *command;                 /* whose it is while BUSY; NULL: only that of what comes back */
	uint32_t n_ahead;              /* commands sent ahead of their time, not begun */
	uint32_t n_quick;              /* short ends in a row that left nothing */
	uint64_t quick_ns;             /* how long they take */
	uint64_t since_ns;             /* in this state */
};
struct gr_runners_ops {
	/* OUTPUT, EXIT, RETURNED; on_idle follows the last of a turn. */
	void (*on_event)(void *ctx, struct gr_runner *r, const struct gr_runner_event *ev, const uint8_t *data);
	/* A BUSY one is gone. False: it is dropped now. True: its folder is still in use, and the caller drops it later. */
	bool (*on_gone)(void *ctx, struct gr_runner *r, const char *why);
	void (*on_idle)(void *ctx);                                          /* one can be had */
};

/* Tries the tiers the worker may use for commands, strongest first. Return NULL when none works; @err says why. */
struct gr_runners *gr_runners_new(struct gr_worker *w, const struct gr_runners_ops *ops, void *ctx, struct gr_err *err);
void gr_runners_free(struct gr_runners **p);
enum gr_tier gr_runners_tier(const struct gr_runners *p);
/* A BUSY runner of @job. Return: 1 and *out; 0: soon, on_idle says when; or an error, after some failures in a row. */
int gr_runners_take(struct gr_runners *p, uint64_t job, bool has_net, struct gr_runner **out, struct gr_err *err) GR_MUST_CHECK;
/* The command is over and its folder empty. A DEAD one is dropped. */
void gr_runners_give(struct gr_runner *r);
/* Ends it with all that runs in it, and removes its folder. */
void gr_runners_drop(struct gr_runner **r);
void gr_runners_tick(struct gr_runners *p);              /* ends those that idle long */
/* What a command calls the folder NAME of runner.h. */
void gr_runners_path(const struct gr_runner *r, const char *name, char out[4400]);
