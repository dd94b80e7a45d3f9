#!/usr/bin/env python3
"""history.py HISTORY DATABASE [--told FILE] [--starts FILE] - prove from a coordinator's history file (--history) and its job store that every task of every
accepted job has exactly one outcome, that no result was taken twice, and that what was taken is what was stored.

A coordinator that was killed may have begun a line or decided something that never reached the disk: "done" and "failed"
are written when they are decided, so after a restart the same task may be decided again. What counts is the store: one
outcome a task, and it belongs to an attempt that the store says ended, with that cause.

--told: lines "job tasks" of what clients were told was taken. --starts: a line "job task ordinal" for each command that a worker
executed: never more of a task than attempts of it were begun, and at least one of a task that is done. Where both are looked
at, an attempt that was adopted is in fact the one that runs: nothing else of its task is begun until it ended."""
import argparse
import collections
import sqlite3
import sys

import packs

DONE, FAILED, CANCELLED = 4, 5, 6


def rows_of(path):
    with open(path) as f:
        return [[int(x) for x in line.split()] for line in f]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("history"), p.add_argument("database"), p.add_argument("--told"), p.add_argument("--starts")
    args = p.parse_args()
    accepted, begun, decided, life = {}, collections.defaultdict(set), collections.defaultdict(list), 0
    removed, bad, adopted, n_adopted = set(), [], {}, 0
    for line in open(args.history, errors="replace"):
        if not line.endswith("\n"):
            continue
        _, what, job, task, attempt, *more = line.split(" ")
        job, task, attempt = int(job), int(task), int(attempt)
        if what == "start":
            life += 1
            adopted.clear()
        elif what == "adopted":
            adopted[job, task] = attempt
            n_adopted += 1
        elif what == "accept":
            if job in accepted:
                bad.append(f"job {job} was accepted twice")
            accepted[job] = task
        elif what == "begin":
            if attempt in begun[job, task]:
                bad.append(f"job {job} task {task}: attempt {attempt} was begun twice")
            begun[job, task].add(attempt)
            if args.starts and (job, task) in adopted:
                bad.append(f"job {job} task {task}: attempt {attempt} was begun while {adopted[job, task]}, which was adopted, runs")
        elif what in ("again", "fenced", "cancelled"):
            if adopted.get((job, task)) == attempt:
                del adopted[job, task]
        elif what in ("done", "failed"):
            adopted.pop((job, task), None)
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
    db = sqlite3.connect(f"file:{args.database}?mode=ro", uri=True)
    states = dict(db.execute("SELECT job, state FROM jobs"))
    # what was committed as its coordinator was killed is there and was not said
    for job, n in db.execute("SELECT job, n_tasks FROM jobs"):
        accepted.setdefault(job, n)
    for job, n in rows_of(args.told) if args.told else []:
        if accepted.get(job) != n and job not in removed:
            bad.append(f"a client was told that job {job} of {n} tasks is taken; it is {'one of ' + str(accepted[job]) if job in accepted else 'not there'}")
    starts = collections.Counter((job, task) for job, task, _ in (rows_of(args.starts) if args.starts else []))
    for (job, task), n in starts.items():
        if n > len(begun[job, task]):
            bad.append(f"job {job} task {task} was executed {n} times, and begun {len(begun[job, task])} times")
    for job, n in accepted.items():
        if job in removed:
            continue
        if job not in states:
            bad.append(f"job {job} was accepted and is not in the store")
            continue
        outcomes = {t: (s, a) for t, s, a in db.execute("SELECT task, state, attempt FROM outcomes WHERE job=?", (job,))}
        packed = packs.done(db, job)
        for task in packed.keys() & outcomes.keys():
            bad.append(f"job {job} task {task} is packed, and has an outcome of its own")
        outcomes.update((t, (DONE, a)) for t, a in packed.items())
        if states[job] == 1 and len(outcomes) != n:
            bad.append(f"job {job} is done with {len(outcomes)} outcomes of {n} tasks")
        if states[job] == 0:
            bad.append(f"job {job} is still open")
        for task, (state, attempt) in outcomes.items():
            row = (1, 1) if task in packed else db.execute("SELECT end_ms, cause FROM attempts WHERE job=? AND task=? AND attempt=?", (job, task, attempt)).fetchone()
            if not row or not row[0]:
                bad.append(f"job {job} task {task}: its outcome names attempt {attempt}, which has no end")
            elif state == DONE and row[1] != 1:
                bad.append(f"job {job} task {task} is done by attempt {attempt}, which ended with cause {row[1]}")
            if args.starts and state == DONE and not starts[job, task]:
                bad.append(f"job {job} task {task} is done and was never executed")
            if attempt not in begun[job, task]:
                bad.append(f"job {job} task {task}: attempt {attempt} was never begun")
    print(f"{len(accepted)} jobs, {sum(accepted.values())} tasks, {sum(map(len, begun.values()))} attempts, {life} lives" +
          (f", {sum(starts.values())} executed, {n_adopted} adopted" if args.starts else ""))
    for b in bad[:20]:
        print("WRONG:", b)
    return 1 if bad else 0


sys.exit(main())
