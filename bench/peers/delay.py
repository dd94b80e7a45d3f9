"""delay.py PORT RTT_MS PORT_FILE - a TCP relay on loopback to 127.0.0.1:PORT that holds what it gets half of RTT_MS each way, in order and
without a limit on how much is on its way; the port it listens on is written to PORT_FILE"""
import asyncio
import os
import sys

to, delay_s, port_file = int(sys.argv[1]), float(sys.argv[2]) / 2000, sys.argv[3]


async def one_way(reader, writer):
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue()

    async def take():
        while data := await reader.read(65536):
            pieces.put_nowait((loop.time() + delay_s, data))
        pieces.put_nowait((loop.time() + delay_s, b""))

    taker = asyncio.create_task(take())
    while True:
        at, data = await pieces.get()
        await asyncio.sleep(at - loop.time())
        if not data:
            break
        writer.write(data)
        await writer.drain()
    await taker
    writer.close()


async def relay(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", to)
    await asyncio.gather(one_way(reader, back), one_way(there, writer), return_exceptions=True)


async def main():
    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    with open(port_file + ".new", "w") as f:
        print(server.sockets[0].getsockname()[1], file=f)
    os.rename(port_file + ".new", port_file)
    await server.serve_forever()


asyncio.run(main())
