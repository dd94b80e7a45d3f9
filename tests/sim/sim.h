/**
 * sim - a cluster that is not there: nodes, pods, caches, tasks and bad luck, driven by one heap of events and one seed
 *
 * Time is made up; a policy decides who runs where and learns only what a coordinator could learn. What really happens
 * is reckoned here: pods of a node share its cores, so each running task goes on at
 *     speed(node) / max(1, (demand of all on the node + foreign) / cores, demand in the pod / quota of the pod)
 * and that is reckoned anew whenever the load of the node changes. Input sets a worker lacks are fetched first, at its
 * zone's bandwidth. Losses, late results, failures and memory kills go through lib/job, as in the coordinator.
 * After every event check.c recomputes what must hold (sim_check), when asked to.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/clock.h"
#include "lib/base/rng.h"
#include "lib/job/job.h"
#include "lib/place/place.h"
#include "tests/sim/events.h"

#define SIM_NONE UINT32_MAX
#define SIM_MAX_PODS 16u
#define SIM_MAX_ENVS 8u
#define SIM_MAX_GANG 16u

struct sim;

enum sim_act { SIM_RUN, SIM_COPY, SIM_RETRACT, SIM_PREEMPT, SIM_MOVE };
struct sim_pick {                     /* a policy's decision */
	enum sim_act act;
	uint32_t task, worker, gang;  /* RUN, COPY; gang: members that follow one another, 0 none */
	uint64_t handle;              /* the policy's name for the attempt: the new one, or the one to act on */
};
enum sim_how { SIM_DONE, SIM_FAILED, SIM_OOM, SIM_STOPPED };

struct sim_policy {
	const char *name;
	bool does_gangs;
	void *(*start)(struct sim *s);
	void (*stop)(void *p);
	void (*worker_up)(void *p, uint32_t worker);
	void (*worker_down)(void *p, uint32_t worker);
	void (*worker_drain)(void *p, uint32_t worker, uint64_t gone_ns);   /* may be NULL, as all below but ready, next, ended */
	void (*signals)(void *p, uint32_t worker);
	void (*job_add)(void *p, uint32_t job);
	void (*job_pause)(void *p, uint32_t job, bool is_paused);
	void (*ready)(void *p, uint32_t first, uint32_t count);  /* tasks of one job, one after another; a gang: jobs[].gang */
	void (*cancel)(void *p, uint32_t task);                  /* queued, made ready alone; a gang's member: all of it */
	uint64_t (*job_cancel)(void *p, uint32_t job);           /* all of it that is queued. Return: how many tasks */
	uint32_t (*next)(void *p, struct sim_pick *out, uint32_t max);
	void (*ended)(void *p, uint32_t attempt, enum sim_how how, uint64_t cpu_us, uint64_t rss_bytes);
	void (*kept)(void *p, uint32_t attempt);
	void (*started)(void *p, uint32_t attempt);
	uint64_t (*wake_ns)(void *p);
	uint32_t (*mem_hint)(void *p, uint32_t task);
	bool (*is_stuck)(void *p, uint32_t task);                /* its exclusions leave it no worker */
	bool (*is_blocked)(void *p, uint32_t worker);            /* by its own doing: quarantined */
	bool (*is_holding)(void *p);                             /* what waits had better wait for a worker that is busy */
	const char *(*why)(void *p, uint32_t task, uint32_t worker);   /* its answer, for messages */
	const char *(*check)(void *p);                           /* the policy's own sanity; NULL when well */
};
extern const struct sim_policy sim_place, sim_place_blind, sim_oracle, sim_social, sim_emptiest, sim_random, sim_two, sim_icecream;
extern const struct sim_policy *const sim_policies[];            /* all of them, NULL behind the last */

struct sim_node {
	uint32_t cores_mcpu, zone;
	double speed;                 /* work done in a second by a task that is alone */
	uint32_t foreign_mcpu;        /* what others use */
	uint32_t workers[SIM_MAX_PODS], n_workers;
	uint32_t demand_mcpu;         /* of what runs */
	uint32_t taken_mcpu;          /* of what runs or fetches to run */
	uint32_t stamp;               /* of its event that counts */
	uint64_t upto_ns;             /* what runs there is reckoned to here */
	uint64_t gone_ns;             /* when it will go; 0 it stays */
	bool is_up, is_anchor;
};
struct sim_have { uint32_t set; uint64_t from_ns, used_ns; };
struct sim_worker {
	uint32_t node, gen, slots, prefetch, quota_mcpu, env_mask;
	struct gr_place_vec cap;
	bool is_up, is_draining, is_black_hole;
	bool is_cut;                  /* runs on, but the coordinator does not hear it */
	uint32_t *held, n_held, cap_held;    /* attempts, oldest first */
	uint32_t n_busy;              /* of them, on a slot */
	uint32_t demand_mcpu;         /* of what runs */
	struct gr_place_vec used;     /* by what is on slots */
	struct sim_have *have;
	uint32_t n_have, max_have;
	uint64_t policy_id;           /* the policy's */
	uint64_t done;
	uint64_t stopped_ns;          /* when something was last preempted there, */
	uint32_t stopped_band;        /* and the least urgent band of that instant, */
	uint64_t stopped_round;       /* the last round, */
	uint32_t n_stops, n_came;     /* and in that instant the rounds in which something was, and what came there that was more urgent */
};
struct sim_tenant { uint32_t weight; struct gr_place_vec quota; uint32_t policy_id; };
struct sim_job {
	uint32_t tenant, weight, band, max_placed;
	bool is_gang, is_preemptible, is_known, is_whole;
	struct gr_place_vec need;
	uint32_t env, zone;           /* 0 any */
	uint32_t set;                 /* input set of all its tasks, SIM_NONE none or task by task */
	uint64_t family;
	uint32_t work_hint_ms;        /* what the submitter says a task takes; 0 nothing */
	bool is_hint_exact;           /* it says what each takes instead */
	uint32_t spread_by, spread_max;
	uint32_t first, n_tasks;
	uint32_t n_queued, n_live;    /* tasks waiting; attempts alive */
	struct gr_place_vec used;
	uint32_t gang[SIM_MAX_GANG], n_gang;      /* of a gang: members that wait */
	uint64_t stopped_round;       /* of decisions, in which some of it was last stopped */
	bool is_paused, is_cancelled;
	struct gr_job life;
	uint64_t policy_id;
	int64_t policy_queued;        /* of a gang */
	uint32_t policy_class;
};
enum sim_task_state { SIM_LATER, SIM_QUEUED, SIM_PLACED, SIM_ENDED };
#define SIM_MAX_LIVE 4u
struct sim_task {
	uint32_t job;
	enum sim_task_state state;
	uint32_t work_us;             /* wall time alone at speed 1 */
	uint32_t set;                 /* input set, SIM_NONE none; the job's unless changed */
	uint64_t family;              /* as the submitter would name it; the job's unless changed */
	uint32_t rss_mib, asked_mib;  /* what it really needs; what it asks now */
	uint64_t ready_ns, queued_ns, done_ns;
	uint64_t round;               /* of decisions, in which it came to wait */
	uint64_t could_ns;            /* since when it waits although it could run */
	uint64_t preempted_ns;        /* last, and where */
	uint32_t preempted_on;
	uint32_t live[SIM_MAX_LIVE], n_live;
	uint64_t exclude[4];          /* by the policy's id: a worker that came back is another */
	uint32_t n_exclude;
	uint32_t n_accepted;
	bool is_ok;
	struct gr_task *life;         /* lib/job's, when checked */
	int64_t policy_queued, policy_range;  /* handles: of it alone; of the range it is the first of */
};
enum sim_attempt_state { SIM_WAITING = 1, SIM_FETCHING, SIM_RUNNING, SIM_OVER };
struct sim_attempt {
	uint32_t task, worker, number;
	enum sim_attempt_state state;
	bool is_copy, is_cut, is_slow;    /* cut: the coordinator counts it lost */
	uint32_t mem_mib;             /* what its task asked then */
	double left_us;
	uint64_t handle, placed_ns, start_ns;
	uint32_t stamp, next_free;
};
struct sim_set { uint64_t bytes; };

struct sim_config {
	uint64_t seed;
	bool is_checked;              /* lib/job and the invariants */
	bool may_retract;             /* unchecked runs too take back what has not started */
	uint32_t verbose;
	uint32_t check_every;         /* the policy's own sanity after each so many-th event; 0: 1 */
	uint64_t bandwidth_bytes_per_s[4];   /* of zone 0..3; 0: 100 MB/s */
	uint32_t straggler_ppm, fail_ppm;    /* chances of an attempt */
	uint64_t signals_ns;          /* how often workers report; 0 never */
	uint64_t limit_ns;            /* made-up time after which what is not done counts as starved; 0 none */
	uint64_t warm_ns;             /* responses of tasks that came before do not count */
	uint32_t copy_permille;
	uint64_t reserve_ns;          /* lib/place keeps room for what waited so long; 0 never */
	uint32_t mem_cap_mib;         /* no task may ask for more */
};
struct sim_result {
	uint64_t n_done, n_failed, n_decisions, n_events;
	uint64_t n_copies, n_retracts, n_preempts, n_moves, n_lost, n_late, n_misses;
	uint64_t hash;                /* of all decisions */
	uint64_t end_ns;
	double mean_s, p50_s, p99_s;  /* response */
	double decide_s;              /* real time in the policy: next and ended */
	char why[256];                /* what did not hold; "" all held */
};

struct sim {
	struct sim_config cfg;
	const struct sim_policy *policy;
	void *p;
	struct gr_rng rng;
	uint64_t stopped_ns;          /* when something was last preempted or taken back */
	uint64_t now_ns, wake_ns, round;
	struct sim_events events;
	struct sim_node *nodes;
	uint32_t n_nodes, cap_nodes;
	struct sim_worker *workers;
	uint32_t n_workers, cap_workers;
	struct sim_tenant *tenants;   /* [0]: weight 1, no quota */
	uint32_t n_tenants, cap_tenants;
	struct sim_job *jobs;
	uint32_t n_jobs, cap_jobs;
	struct sim_task *tasks;
	uint32_t n_tasks, cap_tasks;
	struct sim_attempt *attempts;
	uint32_t n_attempts, cap_attempts, free_attempt;
	struct sim_set *sets;
	uint32_t n_sets, cap_sets;
	uint64_t n_queued, n_live, n_ended, n_running;
	double *responses;
	uint32_t n_responses, cap_responses;
	struct sim_result r;
	void (*on_pick)(struct sim *s, const struct sim_pick *d);   /* before it is carried out; for oracles */
	void *ctx;
	uint64_t (*clock_ns)(void);   /* real time, for r.decide_s; NULL: not measured */
};

/* ---- building: cluster.c ---- */
struct sim *sim_new(const struct sim_policy *policy, const struct sim_config *cfg);
void sim_free(struct sim **s);
uint32_t sim_node_add(struct sim *s, uint32_t cores_mcpu, double speed, uint32_t zone);
uint32_t sim_worker_add(struct sim *s, uint32_t node, const struct sim_worker *like, uint32_t max_have);
uint32_t sim_tenant_add(struct sim *s, uint32_t weight, const struct gr_place_vec *quota);
uint32_t sim_set_add(struct sim *s, uint64_t bytes);
uint32_t sim_job_add(struct sim *s, const struct sim_job *like);
/* @count tasks of @job, ready together at @at_ns (a range, or a gang). Their work comes from @work_us. */
void sim_submit(struct sim *s, uint64_t at_ns, uint32_t job, const uint32_t *work_us, uint32_t count);

enum sim_happening {                  /* what the scenario can order for a time */
	SIM_EV_READY, SIM_EV_NODE, SIM_EV_FETCHED, SIM_EV_SIGNALS, SIM_EV_WAKE, SIM_EV_STUCK,
	SIM_EV_NODE_DOWN, SIM_EV_NODE_UP, SIM_EV_NOTICE, SIM_EV_FOREIGN, SIM_EV_CUT, SIM_EV_HEAL, SIM_EV_QUOTA,
	SIM_EV_CANCEL, SIM_EV_PAUSE, SIM_EV_RESUME,
};
void sim_at(struct sim *s, uint64_t at_ns, enum sim_happening what, uint32_t a, uint32_t b);

/* ---- running: run.c ---- */
/* Until nothing is left to happen, or something did not hold. Return: 0, or -1 with s->r.why. */
int sim_run(struct sim *s);
void sim_fail(struct sim *s, const char *fmt, ...) GR_PRINTF(2, 3);
void sim_say(struct sim *s, const char *fmt, ...) GR_PRINTF(2, 3);

/* ---- tasks and attempts: life.c ---- */
void sim_task_ready(struct sim *s, uint32_t task);       /* it waits from now on; the policy is not told */
void sim_task_taken(struct sim *s, uint32_t task);       /* it no longer waits */
void sim_task_ended(struct sim *s, uint32_t task, bool is_ok);
uint32_t sim_attempt_new(struct sim *s);
void sim_attempt_detach(struct sim *s, uint32_t attempt);    /* off its task; its worker may hold it still */
void sim_attempt_free(struct sim *s, uint32_t attempt);
void sim_attempt_finish(struct sim *s, uint32_t attempt);    /* it ran to its end there */
enum gr_verdict sim_attempt_stop(struct sim *s, uint32_t attempt, enum gr_cause cause);
enum gr_verdict sim_verdict(struct sim *s, const struct sim_attempt *a, enum gr_cause cause);
void sim_conclude(struct sim *s, uint32_t task, enum gr_verdict v, bool is_ok);    /* what a verdict means for its task */

/* ---- the machines: node.c ---- */
void sim_node_advance(struct sim *s, uint32_t node);     /* what runs there is reckoned up to now */
void sim_node_plan(struct sim *s, uint32_t node);        /* and its next end is ordered */
void sim_worker_pump(struct sim *s, uint32_t worker);    /* what waits takes free slots */
void sim_attempt_off(struct sim *s, uint32_t attempt);   /* leaves its worker, in whatever state */
uint64_t sim_missing_us(const struct sim *s, const struct sim_worker *w, uint32_t set);   /* to fetch it now */
bool sim_fits(const struct sim *s, const struct sim_worker *w, const struct sim_task *t);  /* a free slot and room */
double sim_slowdown(const struct sim *s, const struct sim_worker *w, uint32_t more_mcpu);  /* true, with so much more */

/* ---- check.c ---- */
void sim_check(struct sim *s);
void sim_check_pick(struct sim *s, const struct sim_pick *d);
void sim_check_idle(struct sim *s);                      /* the policy has nothing more to decide */
void sim_check_end(struct sim *s);

/* ---- scenarios: scenario.c ---- */
/* A small cluster with everything that can happen, drawn from the seed. */
struct sim *sim_small(const struct sim_policy *policy, uint64_t seed, uint32_t verbose);
struct sim_quality {
	uint32_t n_nodes, pods, cores, slots, n_sets;
	uint32_t n_have;              /* sets a worker's cache holds; 0 all */
	uint64_t n_tasks;
	double load;                  /* of the cores, speeds counted */
	bool is_mixed;                /* long batch tasks of several cores besides */
	uint64_t seed;
};
struct sim *sim_quality(const struct sim_policy *policy, const struct sim_quality *q);

static inline double sim_uniform(struct gr_rng *r) { return (double)(gr_rng_u64(r) >> 11) / 9007199254740992.0; }
double sim_exp(struct gr_rng *r, double mean);
double sim_lognormal(struct gr_rng *r, double mean, double sigma);
