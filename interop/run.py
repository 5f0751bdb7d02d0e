#!/usr/bin/env python3
"""Lets dinrail and other Modbus stacks talk to each other, and compares with docs/interop.md.

interop/run.py                            fails on a failed case or a page that differs
interop/run.py --write docs/interop.md    writes the page
"""

from __future__ import annotations

import argparse
import difflib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import launch, table
from harness.judge import Verdict, judge_all, unused
from harness.notes import SELF, stack

PAGE = Path(__file__).resolve().parent.parent / "docs" / "interop.md"
AT_ONCE = 8  # most of a conversation with a faulty peer is waiting for a timeout
SLOWEST = "modbus-serial"  # as a server it leaves many requests unanswered: begin with it


def converse(pair: tuple[launch.Peer, launch.Peer]) -> list[Verdict]:
    """One client, one server, all cases."""
    client, server = pair
    return judge_all(client.name, server.name, launch.talk(client, server))


def everybody(only: str | None) -> dict[tuple[str, str], list[Verdict]]:
    """All conversations."""
    stacks = launch.stacks()
    pairs = [
        (client, server)
        for server in stacks
        if server.server
        for client in stacks
        if client.client and client.medium == server.medium
        # What peers make of each other on a serial line is not on the page.
        if server.medium not in launch.SERIAL or SELF in (stack(client.name), stack(server.name))
        if only in (None, client.name, server.name, stack(client.name), stack(server.name))
    ]
    pairs.sort(key=lambda pair: pair[1].name != SLOWEST)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        talks = list(pool.map(converse, pairs))
    return {
        (client.name, server.name): verdicts
        for (client, server), verdicts in zip(pairs, talks, strict=True)
    }


def report(talks: dict[tuple[str, str], list[Verdict]]) -> tuple[int, int]:
    """Prints the failures; how many cases passed and failed."""
    passed = failed = 0
    for (client, server), verdicts in talks.items():
        for verdict in verdicts:
            if verdict.passed:
                passed += 1
                continue
            failed += 1
            print(f"FAILED {client} client, {server} server: {verdict.case}")
            print(f"    got    {verdict.got}")
            print(f"    wanted {verdict.wanted}")
    return passed, failed


def same_page(page: str) -> bool:
    """Compares with the committed page, and shows what differs."""
    committed = PAGE.read_text() if PAGE.exists() else ""
    if page == committed:
        return True
    sys.stdout.writelines(
        difflib.unified_diff(
            committed.splitlines(keepends=True),
            page.splitlines(keepends=True),
            "docs/interop.md as committed",
            "docs/interop.md as of this run",
        )
    )
    return False


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the page to this file")
    parser.add_argument("--only", metavar="PEER", help="talk to one peer; the page is not compared")
    args = parser.parse_args()
    if strays := unused():
        print(f"notes about unknown cases: {', '.join(strays)}")
        return 1
    try:
        launch.build()
        versions = launch.versions()
        talks = everybody(args.only)
    except launch.HarnessError as error:
        print(error)
        return 1
    passed, failed = report(talks)
    same = True
    if args.only is None:
        page = table.page(launch.stacks(), versions, talks)
        if args.write is not None:
            args.write.write_text(page)
        else:
            same = same_page(page)
    print(f"{passed} passed, {failed} failed")
    return 0 if same and failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
