/* batch_remove.c - jobs that are removed: gone at once, their rows a slice at a time
 *
 * One transaction takes the job's own row, its secrets, and notes its number in the table "removed": from then on there is no
 * such job, for nobody and in no life. The rows of its tasks, which may be millions, go in small transactions of the store's
 * writer, each behind what was handed over before it, and the next only when the loop has been told of the last: a commit waits
 * for one slice at most. The last one takes the note away. What a life leaves undone, the next finds noted.
 */
#include "coordinator/batch_int.h"

#include "lib/base/alloc.h"

static void cut(struct gr_batch *b);

static void on_cut(void *ctx, int rc)
{
	struct gr_batch *b = ctx;

	(void)rc;                                 /* it was tried until it could be written */
	if (b->is_removed_later || gr_store_has_removed(b->store)) {
		cut(b);
		return;
	}
	b->is_removing = false;
	gr_care_removed(b);
}

static void cut(struct gr_batch *b)
{
	static const enum gr_store_sql all[] = { GR_SQL_CUT_ATTEMPTS, GR_SQL_CUT_OUTCOMES, GR_SQL_CUT_OUTPUTS, GR_SQL_CUT_PACKS, GR_SQL_CUT_DONE };
	struct gr_store_tx *tx = gr_store_tx_new(b->store);

	b->is_removing = true;
	b->is_removed_later = false;
	for (size_t i = 0; i < GR_LEN(all); i++)
		gr_store_add(tx, all[i]);
	gr_store_commit(&tx, false, on_cut, b);
}

void gr_bj_remove(struct gr_bj *j, struct gr_pend *p)
{
	struct gr_batch *b = j->batch;
	struct gr_store_tx *tx = gr_store_tx_new(b->store);

	gr_store_add(tx, GR_SQL_RM_JOB, (int64_t)j->id);
	gr_store_add(tx, GR_SQL_SECRET_RM, (int64_t)j->id);
	gr_store_add(tx, GR_SQL_REMOVED, (int64_t)j->id);
	gr_bj_free(&j);
	if (p)
		gr_pend_commit(p, tx, false);
	else
		gr_store_commit(&tx, false, NULL, NULL);
	if (b->is_removing)
		b->is_removed_later = true;       /* which the one under way may not see */
	else
		cut(b);
}

void gr_remove_open(struct gr_batch *b)
{
	if (gr_store_has_removed(b->store))
		cut(b);
}
