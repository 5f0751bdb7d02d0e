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

from harness import handshakes, launch, table
from harness.judge import Verdict, judge_all, unused
from harness.notes import SELF, stack
from harness.peers import Peer

PAGE = Path(__file__).resolve().parent.parent / "docs" / "interop.md"
AT_ONCE = 8  # most of a conversation with a faulty peer is waiting for a timeout
SLOWEST = "modbus-serial"  # as a server it leaves many requests unanswered: begin with it


def converse(pair: tuple[Peer, Peer]) -> list[Verdict]:
    """One client, one server, all cases."""
    client, server = pair
    return judge_all(client.name, server.name, launch.talk(client, server))


def everybody(only: str | None) -> tuple[table.Talks, table.Talks]:
    """All conversations, and who is let in over TLS."""
    stacks = launch.stacks()

    def wanted(*peers: Peer) -> bool:
        return only is None or any(only in (peer.name, stack(peer.name)) for peer in peers)

    pairs = [
        (client, server)
        for server in stacks
        if server.server
        for client in stacks
        if client.client and client.medium == server.medium
        # What peers make of each other is on the page for TCP alone.
        if server.medium == "tcp" or SELF in (stack(client.name), stack(server.name))
        if wanted(client, server)
    ]
    secure = [pair for pair in handshakes.pairs(stacks) if wanted(*pair)]
    pairs.sort(key=lambda pair: pair[1].name != SLOWEST)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        talks = pool.map(converse, pairs)
        let_in = pool.map(handshakes.shake_all, secure)
        return by_name(pairs, list(talks)), by_name(secure, list(let_in))


def by_name(pairs: list[tuple[Peer, Peer]], talks: list[list[Verdict]]) -> table.Talks:
    """The verdicts by the names of client and server."""
    names = [(client.name, server.name) for client, server in pairs]
    return dict(zip(names, talks, strict=True))


def report(talks: table.Talks) -> tuple[int, int]:
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
        talks, let_in = everybody(args.only)
    except launch.HarnessError as error:
        print(error)
        return 1
    passed, failed = (sum(counts) for counts in zip(report(talks), report(let_in), strict=True))
    same = True
    if args.only is None:
        page = table.page(launch.stacks(), versions, talks, let_in)
        if args.write is not None:
            args.write.write_text(page)
        else:
            same = same_page(page)
    print(f"{passed} passed, {failed} failed")
    return 0 if same and failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
