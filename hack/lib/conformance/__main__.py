"""Runs the cases against both ends; see hack/conformance tunnel."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import sys
from pathlib import Path
from typing import Any, Awaitable

import kosoku
from demo.ports import Ports, accepts
from websockets.asyncio.client import connect

from .autobahn import SECONDS, outcome
from .results import Result, order, page, summary

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "websocket-conformance.md"
COMPRESSION = ["12.*", "13.*"]
# Most cases wait for a second; they take turns at more than one processor.
CONCURRENCY = 4


async def verdicts(run: Awaitable[Any]) -> list[Result]:
    found = [
        Result(entry.case_id, entry.behavior.value, entry.behavior_close.value, _detail(entry))
        for entry in await outcome(run)
    ]
    return sorted(found, key=lambda result: order(result.case))


def _detail(entry: Any) -> str:
    parts = [entry.result] if entry.result_close == entry.result else [entry.result, entry.result_close]
    return " ".join(part for part in parts if part)


async def accepting_end(echo: str, port: int, cases: list[str]) -> list[Result]:
    process = await asyncio.create_subprocess_exec(echo, "listen", "--port", str(port))
    try:
        for _ in range(500):
            if accepts("127.0.0.1", port):
                break
            await asyncio.sleep(0.01)
        return await verdicts(
            kosoku.run_fuzzingclient(f"ws://127.0.0.1:{port}", cases or None, COMPRESSION, concurrency=CONCURRENCY))
    finally:
        process.terminate()
        await process.wait()


async def dialling_end(echo: str, port: int, cases: list[str]) -> list[Result]:
    async with kosoku.run_fuzzingserver(cases or None, COMPRESSION, port=port) as server:
        base = f"ws://127.0.0.1:{port}"
        async with connect(f"{base}/getCaseCount", compression=None, proxy=None) as connection:
            count = await connection.recv()
        process = await asyncio.create_subprocess_exec(
            echo, "dial", "--port", str(port), "--cases", str(count), "--name", "agent")
        if await asyncio.wait_for(process.wait(), SECONDS) != 0:
            raise SystemExit("error: websocket-echo could not run through the cases")
        async with connect(f"{base}/updateReports?agent=agent", compression=None, proxy=None) as connection:
            await connection.wait_closed()
        return await verdicts(server.get_result())


async def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/conformance tunnel")
    parser.add_argument("--echo", required=True, help=argparse.SUPPRESS)
    parser.add_argument("case", nargs="*", help='a case or several, such as 6.4.1 or "7.*"')
    arguments = parser.parse_args()
    ports = Ports(prefer_documented=False)
    ends = {
        "gateway": await accepting_end(arguments.echo, ports.free(0), arguments.case),
        "agent": await dialling_end(arguments.echo, ports.free(0), arguments.case),
    }
    for end, results in ends.items():
        for result in results:
            if result.kind in ("failed", "non-strict"):
                print(f"{end} {result.case}: {result.behavior}, close {result.close}. {result.detail}")
        print(summary(end, results))
    if not arguments.case:
        PAGE.write_text(page(ends, f"kosoku {importlib.metadata.version('kosoku')}"), encoding="utf-8")
        print(f"Written to {PAGE.relative_to(ROOT)}")
    good = all(results and all(result.kind != "failed" for result in results) for results in ends.values())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
