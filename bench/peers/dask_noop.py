# dask_noop.py PORT TASKS WORKERS: no-op futures through a dask-scheduler, workers as threads of this process's children
import sys, time, asyncio, multiprocessing as mp
from distributed import Client, Worker

def noop(i):
    return i

def workers(port, n):
    async def main():
        ws = [Worker("tcp://127.0.0.1:%d" % port, nthreads=1, memory_limit=0, dashboard=False) for _ in range(n)]
        await asyncio.gather(*ws)
        await asyncio.gather(*(w.finished() for w in ws))
    asyncio.run(main())

if __name__ == "__main__":
    port, n, n_workers = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    p = mp.get_context("spawn").Process(target=workers, args=(port, n_workers), daemon=True)
    p.start()
    with Client("tcp://127.0.0.1:%d" % port, timeout=30) as c:
        c.wait_for_workers(n_workers)
        c.gather(c.map(noop, range(100), pure=False))
        t = time.time()
        c.gather(c.map(noop, range(n), pure=False))
        print("%d %.3f" % (n, time.time() - t))
    p.terminate()
