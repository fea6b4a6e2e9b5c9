"""Writes a csvlog of so many megabytes: a few frequent statements, lists of many lengths, 20,000 rare ones.

Usage: csvlog.py MEGABYTES FILE
"""

import random
import sys

rng = random.Random(1)
size, path = int(sys.argv[1]) * 1_000_000, sys.argv[2]


def ms():
    return f"{rng.random() * 3:.3f}"


def listed():
    return ", ".join(str(rng.randrange(10**6)) for _ in range(rng.randrange(2, 20)))


KINDS = [
    lambda: f"duration: {ms()} ms  statement: SELECT o.id, c.name FROM orders AS o JOIN customers AS c ON c.id = o.customer_id "
    f"WHERE o.customer_id = {rng.randrange(5000)} AND o.placed_at >= '2026-01-{rng.randrange(1, 29):02d}'",
    lambda: f"duration: {ms()} ms  execute S_1: SELECT * FROM orders WHERE id = $1",
    lambda: f"duration: {ms()} ms  parse S_1: SELECT * FROM orders WHERE id = $1",
    lambda: f"duration: {ms()} ms  bind S_1: SELECT * FROM orders WHERE id = $1",
    lambda: f"duration: {ms()} ms  statement: UPDATE orders SET note = '\"\"{rng.randrange(10**6)}\"\"',\n total = {rng.random():.2f} WHERE id IN ({listed()})",
    lambda: f"duration: {ms()} ms  statement: BEGIN",
    lambda: f"statement: INSERT INTO log_{rng.randrange(20000)} VALUES ({rng.randrange(10**6)}, 'x')",
]

written = number = 0
with open(path, "w", buffering=1 << 20) as out:
    while written < size:
        message = KINDS[min(int(rng.expovariate(0.6)), len(KINDS) - 1)]()
        bound = "S_1" in message and "parse" not in message
        detail = f"\"Parameters: $1 = '{rng.randrange(10**6)}'\"" if bound else ""
        second, session = number // 1000, number % 50
        moment = f"2026-01-{2 + second // 86400 % 28:02d} {second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{number % 1000:03d} UTC"
        written += out.write(
            f'{moment},"app","shop",{1000 + session},"[local]",{0x66000000 + session:x}.{1000 + session:x},{number // 50},"SELECT",'
            f'2026-01-02 00:00:00 UTC,{session}/{number},0,LOG,00000,"{message}",{detail},,,,,,,,"app","client backend",,{rng.getrandbits(62)}\n'
        )
        number += 1
