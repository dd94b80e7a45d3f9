/**
 * jobfile_int - what the files of client/job/jobfile*.c share: the place in the file, complaints, and values of a task's array
 */
#pragma once
#include "client/job/jobfile.h"
#include "lib/base/buf.h"

#define GR_JOBFILE_MAX_VALUES 64u

struct gr_jf {
	struct gr_jobfile *out;
	const char *base;
	uint64_t now_ms;
	struct gr_err *err;
	char at[512];                       /* "tasks[3].resources.mem" */
	size_t n_at;
	/* of the task being read */
	const char *names[GR_JOBFILE_MAX_VALUES];
	size_t n_names, n_values;           /* n_values: of a task, before hidden ones were added */
	json_t *rows;                       /* [[value...]...] where each task's values are known here; else NULL */
	size_t n_rows;
	bool has_hidden;                    /* rows got digests behind the values: {} must be written as {1} {2} */
	json_t *stages;                     /* those before it, normalised */
};

/* Complaint about the place; returns @code. */
int gr_jf_bad(struct gr_jf *j, int code, const char *fmt, ...) GR_PRINTF(3, 4);
size_t gr_jf_in(struct gr_jf *j, const char *key);              /* returns what gr_jf_out wants */
size_t gr_jf_at(struct gr_jf *j, size_t i);
void gr_jf_out(struct gr_jf *j, size_t was);
/* Members but these (NULL at the end) are refused, with what was meant. */
int gr_jf_only(struct gr_jf *j, const json_t *o, const char *const *known);
/* The complaint about a @key that is none of the @n @known: with the one that was meant, or all of them when they are few. */
int gr_jf_unknown(struct gr_jf *j, const char *key, const char *const *known, size_t n);
/* JSON as people see it, cut. Free it. */
char *gr_jf_show(const json_t *v);
/* A text whose places are checked and, when there are hidden values, written out. New reference, or NULL with the complaint. */
json_t *gr_jf_word(struct gr_jf *j, const json_t *v);

/* "VALUE is WHAT"; returns GR_EINVAL. */
int gr_jf_bad_value(struct gr_jf *j, const json_t *v, const char *what);
/* The same of a C text. */
json_t *gr_jf_written(struct gr_jf *j, const char *text);

/* ---- tables of members ---- */
#define GR_JF_MAX_MEMBERS 40u             /* a table's rows, at most */
struct gr_jf_member {
	const char *name;
	int (*fn)(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m);
	const char *to;                     /* name in the spec; NULL: the same */
	int64_t min, max;
};
/* Members of an object by their table: each goes into @out. */
int gr_jf_members(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *table, size_t n);
int gr_jf_skip(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m);
int gr_jf_text(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m);
int gr_jf_bool(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m);
int gr_jf_int(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m);
int gr_jf_ms(struct gr_jf *j, const json_t *v, json_t *out, const struct gr_jf_member *m);
extern const struct gr_jf_member gr_jf_task_members[];
extern const size_t gr_jf_n_task_members;

/* The array of a task: sets names, n_values, rows; *count tasks; *out the normalised array or NULL. */
int gr_jf_array(struct gr_jf *j, const json_t *v, uint64_t *count, json_t **out);
/* Appends to @list; may add hidden values, and then *array is replaced. */
int gr_jf_inputs(struct gr_jf *j, const json_t *v, json_t *list, json_t **array, uint64_t count);
/* The same of files that are one for all tasks, and of no other task. */
int gr_jf_shared_inputs(struct gr_jf *j, const json_t *v, json_t *list);
int gr_jf_stdin(struct gr_jf *j, const json_t *v, json_t *stage, json_t **array, uint64_t count);
/* A value as text: texts, numbers and booleans. NULL for others. New reference. */
json_t *gr_jf_text_of(const json_t *v);
