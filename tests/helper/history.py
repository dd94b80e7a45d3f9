#!/usr/bin/env python3
"""history.py HISTORY DATABASE - prove from a coordinator's history file (--history) and its job store that every task of every
accepted job has exactly one outcome, that no result was taken twice, and that what was taken is what was stored.

A coordinator that was killed may have begun a line or decided something that never reached the disk: "done" and "failed"
are written when they are decided, so after a restart the same task may be decided again. What counts is the store: one
outcome a task, and it belongs to an attempt that the store says ended, with that cause."""
import collections
import sqlite3
import sys

DONE, FAILED, CANCELLED = 4, 5, 6


def main():
    accepted, begun, decided, life = {}, collections.defaultdict(set), collections.defaultdict(list), 0
    removed, bad = set(), []
    for line in open(sys.argv[1], errors="replace"):
        if not line.endswith("\n"):
            continue
        _, what, job, task, attempt, *more = line.split(" ")
        job, task, attempt = int(job), int(task), int(attempt)
        if what == "start":
            life += 1
        elif what == "accept":
            if job in accepted:
                bad.append(f"job {job} was accepted twice")
            accepted[job] = task
        elif what == "begin":
            if attempt in begun[job, task]:
                bad.append(f"job {job} task {task}: attempt {attempt} was begun twice")
            begun[job, task].add(attempt)
        elif what in ("done", "failed"):
            decided[job, task].append((life, attempt, what))
        elif what == "rm":
            removed.add(job)
        elif what == "retry":
            for key in list(decided):
                if key[0] == job:
                    del decided[key]
    for key, all_of in decided.items():
        lives = [x[0] for x in all_of]
        if len(lives) != len(set(lives)):
            bad.append(f"job {key[0]} task {key[1]} was decided twice in one life: {all_of}")
    db = sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True)
    states = dict(db.execute("SELECT job, state FROM jobs"))
    for job, n in accepted.items():
        if job in removed:
            continue
        if job not in states:
            bad.append(f"job {job} was accepted and is not in the store")
            continue
        outcomes = {t: (s, a) for t, s, a in db.execute("SELECT task, state, attempt FROM outcomes WHERE job=?", (job,))}
        if states[job] == 1 and len(outcomes) != n:
            bad.append(f"job {job} is done with {len(outcomes)} outcomes of {n} tasks")
        if states[job] == 0:
            bad.append(f"job {job} is still open")
        for task, (state, attempt) in outcomes.items():
            row = db.execute("SELECT end_ms, cause FROM attempts WHERE job=? AND task=? AND attempt=?", (job, task, attempt)).fetchone()
            if not row or not row[0]:
                bad.append(f"job {job} task {task}: its outcome names attempt {attempt}, which has no end")
            elif state == DONE and row[1] != 1:
                bad.append(f"job {job} task {task} is done by attempt {attempt}, which ended with cause {row[1]}")
            if attempt not in begun[job, task]:
                bad.append(f"job {job} task {task}: attempt {attempt} was never begun")
    print(f"{len(accepted)} jobs, {sum(accepted.values())} tasks, {sum(map(len, begun.values()))} attempts, {life} lives")
    for b in bad[:20]:
        print("WRONG:", b)
    return 1 if bad else 0


sys.exit(main())
