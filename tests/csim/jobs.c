/* jobs.c - what is submitted: arrays, stages that wait for each other, gangs, copies, tasks that fail */
#include "tests/csim/csim.h"

/* One stage; @slots: a command takes so many of a worker. */
static json_t *stage(struct cs *s, const char *name, uint32_t count, uint32_t mean_ms, uint32_t fail, uint32_t oom, uint32_t slots)
{
	char text[5][24];

	snprintf(text[0], sizeof(text[0]), "%u", mean_ms);
	snprintf(text[1], sizeof(text[1]), "%u", fail);
	snprintf(text[2], sizeof(text[2]), "%u", oom);
	snprintf(text[3], sizeof(text[3]), "%u", (unsigned)cs_below(s, 1u << 30));
	snprintf(text[4], sizeof(text[4]), "%u", slots);
	return json_pack("{s:s, s:[s,s,s,s,s,s], s:{s:[i,i]}, s:{s:i, s:i}, s:{s:i, s:i, s:[s,s,s]}}", "name", name, "argv", "sim", text[0], text[1],
			 text[2], text[3], text[4], "array", "range", 0, (int)count - 1, "resources", "cpu_mcpu", (int)slots * 1000, "mem_bytes",
			 16 << 20, "retry", "max", (int)cs_below(s, 4), "backoff_ms", cs_chance(s, 300) ? 200 : 0, "on", "lost", "oom", "exit");
}

/* Copies that never print the same, which a comparator tells equal; and who waits for them. */
static json_t *compared(struct cs *s, uint32_t n, uint32_t mean)
{
	uint32_t replicas = 2 + (uint32_t)cs_below(s, 2), fail = cs_chance(s, 500) ? 0 : (uint32_t)cs_below(s, 300);
	json_t *a = stage(s, "a", n, mean, cs_chance(s, 600) ? 0 : (uint32_t)cs_below(s, 100), 0, 1), *b = stage(s, "b", n, mean, 0, 0, 1), *c;

	c = stage(s, "c", 1, mean, fail, fail / 4, 1);
	json_array_append_new(json_object_get(a, "argv"), json_string("fuzzy"));
	json_object_set_new(a, "quorum", json_pack("{s:i, s:i, s:b, s:{s:O, s:O, s:i}}", "replicas", (int)replicas, "min", 2 + (int)cs_below(s, replicas - 1),
			    "trust", (int)cs_below(s, 2), "compare", "argv", json_object_get(c, "argv"), "resources", json_object_get(c, "resources"),
			    "retries", (int)cs_below(s, 5)));
	json_decref(c);
	if (cs_chance(s, 500))
		json_object_set_new(b, "after", json_pack("[{s:s, s:b}]", "stage", "a", "each", 1));
	else
		json_object_set_new(b, "after", json_pack("[{s:s}]", "stage", "a"));
	return json_pack("[o, o]", a, b);
}

/* Copies go to workers alike. */
static void alike(struct cs *s, json_t *stages)
{
	json_t *quorum = json_object_get(json_array_get(stages, 0), "quorum");

	if (s->p.has_same && quorum && gr_rng_below(&s->same_rng, 1000) < 600)
		json_object_set_new(quorum, "same", json_string("cpu"));
}

json_t *cs_draw_job(struct cs *s, uint32_t *n_tasks)
{
	uint32_t n = 1 + (uint32_t)cs_below(s, s->p.n_tasks_max), kind = (uint32_t)cs_below(s, 8), mean = 20u << cs_below(s, 7);
	uint32_t fail = cs_chance(s, 400) ? 0 : (uint32_t)cs_below(s, 300), oom = cs_chance(s, 700) ? 0 : (uint32_t)cs_below(s, 150), gang;
	json_t *stages = json_array(), *a, *b, *o;

	*n_tasks = n;
	if (kind == 0) {                  /* each of b waits for its own of a, c for all */
		a = stage(s, "a", n, mean, fail / 4, oom, 1);
		b = stage(s, "b", n, mean, fail / 4, 0, 1);
		json_object_set_new(b, "after", json_pack("[{s:s, s:b}]", "stage", "a", "each", 1));
		json_array_append_new(stages, a);
		json_array_append_new(stages, b);
		o = stage(s, "c", 1 + (uint32_t)cs_below(s, 4), mean, 0, 0, 1);
		json_object_set_new(o, "after", json_pack("[{s:s}, {s:s}]", "stage", "a", "stage", "b"));
		json_array_append_new(stages, o);
	} else if (kind == 1) {           /* a gang behind an array */
		gang = 2 + (uint32_t)cs_below(s, s->p.n_workers > 4 ? 3 : 1);
		json_array_append_new(stages, stage(s, "a", n, mean, fail / 4, oom, 1));
		b = stage(s, "b", gang, mean, 0, 0, 1);
		json_object_set_new(b, "gang", json_true());
		json_object_set_new(b, "after", json_pack("[{s:s}]", "stage", "a"));
		json_array_append_new(stages, b);
	} else if (kind == 2 && s->p.n_hosts >= 4) {
		a = stage(s, "a", 1 + n / 4, mean, 0, 0, 1);
		json_object_set_new(a, "quorum", json_pack("{s:i, s:i, s:b}", "replicas", 2, "min", 2, "trust", (int)cs_below(s, 2)));
		json_array_append_new(stages, a);
	} else {
		json_array_append_new(stages, stage(s, "a", n, mean, fail, oom, kind == 3 ? 2 : 1));
	}
	if (s->p.has_checks && s->p.n_hosts >= 4 && gr_rng_below(&s->check_rng, 1000) < 250) {
		json_decref(stages);
		stages = compared(s, 1 + n / 4, mean);
	}
	alike(s, stages);
	o = json_pack("{s:s, s:s, s:i, s:o}", "name", "csim", "tenant", cs_chance(s, 500) ? "red" : "blue", "priority", (int)cs_below(s, 5) - 2, "stages",
		      stages);
	if (cs_chance(s, 150))
		json_object_set_new(o, "idle", json_true());
	if (cs_chance(s, 150))
		json_object_set_new(o, "max_failures", json_integer(1 + (int)cs_below(s, 5)));
	return o;
}
