"""A TCP proxy that fails on demand, to stand between a client and a real server."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from types import TracebackType
from typing import Literal

from tests.servers.starting import PATIENCE

Fault = Literal["503", "reset", "hang", "slow", "truncate", "corrupt"]

_BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>"
)


class FaultProxy:
    """Forwards connections to 127.0.0.1:`port`. Each connection takes the next of `faults`, if any is left.

    None lets a connection through. `met` are the faults that connections have taken.

    503       answers by itself            reset     cuts the connection at the first request
    hang      never answers                slow      lets one byte of the answer's body through every 50 ms
    truncate  cuts half-way in the body    corrupt   flips one bit in the middle of the body

    A connection carries one request, so that a fault meets exactly one request. `delays`: the seconds that
    requests of a host wait, by its address.
    """

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        """It listens at `address`."""
        self.delays: dict[str, float] = {}
        self.faults: deque[Fault | None] = deque()
        self.met: list[Fault] = []
        self.connections = 0
        self._target, self._address = port, address
        self._never = asyncio.Event()  # keeps those who wait for it from being collected
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://{self._address}:{self._port}"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, self._address, 0), self._loop
        )
        self._server = started.result(PATIENCE)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        serving = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            self.met.append(fault)
        try:
            await self._exchange(reader, writer, fault)
        except (OSError, asyncio.IncompleteReadError):  # whoever asked is gone, or cut off
            pass
        finally:
            writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        request = await _message(reader)
        await asyncio.sleep(self.delays.get(writer.get_extra_info("peername")[0], 0.0))
        if fault == "reset":
            writer.transport.abort()
            return
        if fault == "hang":
            await self._never.wait()
        if fault == "503":
            writer.write(_BUSY)
            await writer.drain()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        up_writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        head = await up_reader.readuntil(b"\r\n\r\n")
        body = bytearray(await up_reader.read())
        up_writer.close()
        writer.write(head)
        if fault == "truncate":
            writer.write(body[: len(body) // 2])
            await writer.drain()
            return
        if fault == "corrupt" and body:
            body[len(body) // 2] ^= 1
        if fault == "slow":
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
            return
        writer.write(body)
        await writer.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One request: its head, and the body that its head announces."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)
