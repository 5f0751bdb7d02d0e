#!/usr/bin/env python3
"""The harness must fail when something is wrong: interop/test_harness.py

No peer is needed: the servers here are a few lines of socket code that lie on purpose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import socket
import struct
import sys
import threading
import unittest
from collections.abc import Iterator
from unittest import mock

import run
from harness import dataset, handshakes, launch, table
from harness.cases import BY_NAME, CASES, Case
from harness.judge import judge, judge_all, unused
from harness.notes import SELF, Kind, fault, stack

SOCKET = next(peer for peer in launch.PEER_LIST if peer.name == "socket")


def right() -> dict[str, str]:
    """What a flawless conversation brings."""
    return {case.name: case.expected for case in CASES}


def answer(request: bytes, lie: int) -> bytes:
    """An FC 3 reply; each register is `lie` too large."""
    address, count = struct.unpack(">HH", request[8:12])
    values = [dataset.holding(a, request[6]) + lie for a in range(address, address + count)]
    pdu = struct.pack(f">BB{count}H", 3, 2 * count, *values)
    return request[:4] + struct.pack(">HB", len(pdu) + 1, request[6]) + pdu


@contextlib.contextmanager
def fake_server(lie: int) -> Iterator[str]:
    """Serves FC 3 only, one connection at a time. Yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    while len(request := connection.recv(12)) == 12 and request[7] == 3:
                        connection.sendall(answer(request, lie))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield str(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def talk_to_fake(lie: int) -> dict[str, str]:
    """The bare socket client against the fake server."""
    with (
        fake_server(lie) as port,
        mock.patch.object(launch, "serving", lambda _: contextlib.nullcontext(["127.0.0.1", port])),
    ):
        return launch.talk(SOCKET, SOCKET)


class Judging(unittest.TestCase):
    """One cell."""

    def test_right_answers_pass(self) -> None:
        self.assertTrue(all(v.passed for v in judge_all("someone", "nobody", right())))

    def test_each_case_fails_on_any_other_answer(self) -> None:
        for case in CASES:
            for wrong in (
                case.expected + " 0",
                "",
                "exception 4",
                "not offered",
                "failed: timeout",
            ):
                with self.subTest(case=case.name, wrong=wrong):
                    self.assertFalse(judge(case, "someone", "nobody", wrong).passed)

    def test_a_missing_case_fails(self) -> None:
        results = right()
        del results["fc03"]
        failed = [v.case for v in judge_all("someone", "nobody", results) if not v.passed]
        self.assertEqual(failed, ["fc03"])

    def test_a_known_fault_that_is_gone_fails(self) -> None:
        case = BY_NAME["exc-fc23"]
        self.assertTrue(judge(case, "libmodbus", "pymodbus", "exception 2 / 9").passed)
        self.assertFalse(judge(case, "libmodbus", "pymodbus", case.expected).passed)

    def test_what_is_said_to_be_absent_must_be_absent(self) -> None:
        case = BY_NAME["fc24"]
        self.assertTrue(judge(case, "mbpoll", SELF, "not offered").passed)
        self.assertFalse(judge(case, "mbpoll", SELF, case.expected).passed)
        self.assertFalse(judge(case, "pymodbus", "libmodbus", case.expected).passed)

    def test_what_is_known_about_a_stack_holds_on_every_medium(self) -> None:
        case = BY_NAME["exc-fc23"]
        verdict = judge(case, f"{SELF}/udp", "pymodbus/udp", "exception 2 / 9")
        self.assertTrue(verdict.passed)
        self.assertEqual((verdict.owner, verdict.side), ("pymodbus", "server"))
        self.assertFalse(judge(case, f"{SELF}/udp", "pymodbus/udp", case.expected).passed)

    def test_what_is_known_about_a_medium_comes_first(self) -> None:
        case = BY_NAME["exc-fc23"]
        note = fault(case.name, "differs", {SELF: "1", "pymodbus/udp": "2"})
        with mock.patch.dict("harness.judge.SERVERS", {"pymodbus/udp": (note,)}):
            self.assertTrue(judge(case, f"{SELF}/udp", "pymodbus/udp", "1").passed)
            self.assertTrue(judge(case, "pymodbus/udp", "pymodbus/udp", "2").passed)
            self.assertTrue(judge(case, SELF, "pymodbus", "exception 2 / 9").passed)

    def test_notes_name_real_cases(self) -> None:
        self.assertEqual(unused(), [])


class Reading(unittest.TestCase):
    """What a client printed."""

    def lines(self, **changes: object) -> str:
        step = {"case": "fc03", "ok": True, "detail": BY_NAME["fc03"].expected, **changes}
        return json.dumps(step) + "\n"

    def test_a_plain_answer(self) -> None:
        self.assertEqual(launch.digest(self.lines())["fc03"], BY_NAME["fc03"].expected)

    def test_an_answer_that_the_client_calls_a_failure_is_one(self) -> None:
        got = launch.digest(self.lines(ok=False))["fc03"]
        self.assertFalse(judge(BY_NAME["fc03"], "someone", "nobody", got).passed)

    def test_a_step_too_few_or_too_many_fails(self) -> None:
        for count in (0, 2):
            got = launch.digest(self.lines() * count)["fc03"]
            self.assertFalse(judge(BY_NAME["fc03"], "someone", "nobody", got).passed)


class Conversing(unittest.TestCase):
    """Real sockets, real processes."""

    def test_a_server_that_tells_the_truth_passes(self) -> None:
        results = talk_to_fake(lie=0)
        for name in ("fc03", "fc03-max", "unit-2", "pipeline", "segment"):
            self.assertEqual(results[name], BY_NAME[name].expected)

    def test_a_server_that_lies_fails(self) -> None:
        verdicts = judge_all("socket", "liar", talk_to_fake(lie=1))
        wrong = {v.case for v in verdicts if not v.passed}
        self.assertLessEqual({"fc03", "fc03-max", "unit-2", "pipeline", "segment"}, wrong)

    def test_a_client_that_dies_fails(self) -> None:
        dead = dataclasses.replace(SOCKET, client=(sys.executable, "-c", "raise SystemExit(3)"))
        nowhere = contextlib.nullcontext(["127.0.0.1", "1"])
        serving = mock.patch.object(launch, "serving", lambda _: nowhere)
        with serving, contextlib.redirect_stderr(io.StringIO()):
            results = launch.talk(dead, SOCKET)
        self.assertFalse(any(v.passed for v in judge_all("someone", "nobody", results)))

    def test_a_server_that_does_not_start_is_an_error(self) -> None:
        silent = dataclasses.replace(SOCKET, server=(sys.executable, "-c", "print('no port')"))
        with self.assertRaises(launch.HarnessError), launch.serving(silent):
            pass


class Page(unittest.TestCase):
    """docs/interop.md."""

    def page(self, results: dict[str, str]) -> str:
        talks = {("pymodbus", SELF): judge_all("pymodbus", SELF, results)}
        return table.page(launch.stacks(), {"pymodbus": "1"}, talks, {})

    def test_same_results_same_bytes(self) -> None:
        self.assertEqual(self.page(right()), self.page(right()))

    def test_who_is_let_in_against_the_rules_is_a_failure(self) -> None:
        row = next(row for row in handshakes.HANDSHAKES if row.title.startswith("A viewer writes"))
        peers = launch.stacks()
        pair = next(pair for pair in handshakes.pairs(peers) if stack(pair[1].name) == SELF)
        for answer, passed in (("exception 1 / 1401", True), ("written / 43981", False)):
            with mock.patch.object(handshakes, "talk", lambda *_, told=answer: {"fc06": told}):
                verdict = row.verdict(*pair)
            self.assertEqual(verdict.passed, passed)
            names = (pair[0].name, pair[1].name)
            line = table.secured({names: [verdict]}, peers, table.Numbering({}))[-1]
            self.assertEqual(line, f"| A viewer writes: 01 | {'ok' if passed else 'FAILED'} |")

    def test_each_pairing_has_a_line_and_a_failure_shows(self) -> None:
        talks = {("pymodbus/tls", f"{SELF}/tls"): judge_all("pymodbus/tls", f"{SELF}/tls", right())}
        lines = table.pairings(launch.stacks(), talks)
        self.assertIn("| pymodbus over TLS | FAILED | - |", lines)

    def test_a_wrong_value_changes_the_page_and_the_count(self) -> None:
        wrong = {**right(), "fc03": "1 2 3"}
        self.assertNotEqual(self.page(wrong), self.page(right()))
        self.assertIn("FAILED", self.page(wrong))
        talks = {("someone", "nobody"): judge_all("someone", "nobody", wrong)}
        with contextlib.redirect_stdout(io.StringIO()):
            passed, failed = run.report(talks)
        self.assertEqual((passed, failed), (len(CASES) - 1, 1))

    def test_a_page_that_differs_from_the_committed_one_is_noticed(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertFalse(run.same_page("another page\n"))
        self.assertIn("another page", out.getvalue())

    def test_every_kind_of_note_has_a_word(self) -> None:
        self.assertEqual(set(table.WORDS), set(Kind))

    def test_cases_have_names_of_their_own(self) -> None:
        self.assertEqual(len(BY_NAME), len(CASES))
        self.assertTrue(all(isinstance(case, Case) and case.steps for case in CASES))


if __name__ == "__main__":
    unittest.main()
