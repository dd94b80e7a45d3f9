"""packs.py - reads what coordinator/store/pack.c writes: attempts that have done their tasks, many in a row of the table "packs"."""


def _varint(data, at):
    v = shift = 0
    while True:
        byte = data[at]
        v |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return v, at


def _unfold(v):
    return v >> 1 ^ -(v & 1)


def done(db, job):
    """{task: attempt} of the job's packs; a task that is in two of them is a ValueError."""
    out = {}
    for first, n, data in db.execute("SELECT first, n, data FROM packs WHERE job=?", (job,)):
        if data[0] != 1:
            raise ValueError(f"job {job}: a pack of format {data[0]}")
        base, at = _varint(data, 1)
        _, at = _varint(data, at)
        n_workers, at = _varint(data, at)
        for _ in range(n_workers):
            for _ in range(2):
                length, at = _varint(data, at)
                at += length
            at += 16
        n_found = 0
        while at < len(data) - 8:
            task, at = _varint(data, at)
            length, at = _varint(data, at)
            task += first & ~1023
            if task in out:
                raise ValueError(f"job {job} task {task} is in two packs")
            out[task] = base + _unfold(_varint(data, at)[0])
            at += length
            n_found += 1
        if n_found != n:
            raise ValueError(f"job {job}: {n_found} tasks in a pack of {n}")
    return out
