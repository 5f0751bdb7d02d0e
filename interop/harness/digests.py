"""From the results of a case's steps to one line, where they hold what no server promises."""

from __future__ import annotations


def counted(details: list[str]) -> str:
    """Two event counters around something: report the difference, which no server chooses."""
    first, last = details[0].split(), details[-1].split()
    if len(first) != 4 or len(last) != 4 or first[:3] != last[:3]:
        return " / ".join(details)
    return f"{first[0]} {first[1]} counted {int(last[3]) - int(first[3])}"


def log_agrees(details: list[str]) -> str:
    """FC 12 must repeat FC 11's counter, and know of messages."""
    counter, log = details[-2].split(), details[-1].split()
    if len(counter) != 4 or len(log) != 8:
        return " / ".join(details)
    same = "same count" if counter[3] == log[3] else f"counts {counter[3]} and {log[3]}"
    messages = "messages" if int(log[5]) > 0 else "no messages"
    return f"{log[0]} {log[1]} {same}, {messages}"


def all_or_none(details: list[str]) -> str:
    """What is left of lost answers depends on the weather; that some are lost does not."""
    return "failed: answers missing" if details[0].startswith("failed") else details[0]


def cleared(details: list[str]) -> str:
    """After a clear, the bus message counter is what the last few requests made it."""
    value = details[-1].split()[-1]
    low = value in ("0000", "0001", "0002")
    return " / ".join([*details[:-1], "low" if low else details[-1]])
