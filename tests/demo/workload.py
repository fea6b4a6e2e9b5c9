#!/usr/bin/env python3
"""Fills the placeholders of workload.sql.

workload.py run COUNT SEED DATA    prints COUNT statements drawn by weight, ends with one that tidies up
workload.py names                  prints the names of the statements, for compare.py
DATA is the folder with the CSV files. The same seed gives the same statements.
"""
import csv
import datetime
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).parent
NEW_YEAR = datetime.date(2013, 1, 1)


def templates():
    """(name, weight, text) in the order of the file."""
    text = (HERE / "workload.sql").read_text()
    found = re.findall(r"^--@ (\w+) (\d+)\n(.*?;)\n", text, re.S | re.M)
    return [(name, int(weight), " ".join(sql.split())) for name, weight, sql in found]


def known_flights(data):
    with open(pathlib.Path(data) / "flights.csv", newline="") as file:
        rows = [r for i, r in enumerate(csv.DictReader(file)) if i % 50 == 0 and r["tailnum"] != "NA"]
    return [(r["time_hour"], r["carrier"], r["flight"], r["tailnum"], r["origin"], r["dest"]) for r in rows]


def fill(template, flight, serial):
    """Puts the values of one flight, and times around it, into a statement."""
    time_hour, carrier, number, tailnum, origin, dest = flight
    day = datetime.date.fromisoformat(time_hour[:10])
    month = day.replace(day=1)
    values = {
        "day": day,
        "day+1": day + datetime.timedelta(days=1),
        "week+": day + datetime.timedelta(days=7),
        "month": month,
        "month+": (month + datetime.timedelta(days=32)).replace(day=1),
        "origin": origin,
        "dest": dest,
        "carrier": carrier,
        "tailnum": tailnum,
        "flight": number,
        "serial": f"{serial:06d}",
    }
    return re.sub(r"\{([a-z+1]+)\}", lambda m: str(values[m[1]]), template)


def main():
    if sys.argv[1] == "names":
        print(*(name for name, _, _ in templates()), sep="\n")
        return
    count, seed, data = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    rng = random.Random(seed)
    flights = known_flights(data)
    known = templates()
    drawn = rng.choices(known, weights=[w for _, w, _ in known], k=count)
    new = None
    for serial, (name, _, text) in enumerate(drawn, start=seed * 100_000):
        # What is recent is asked for more often.
        flight = flights[int(len(flights) * rng.random() ** 0.5)]
        if name == "new_flight":
            new = (flight, serial)
        elif name == "departed":
            if new is None:
                continue
            flight, serial = new
        print(fill(text, flight, serial))
    print(known[-1][2])


if __name__ == "__main__":
    main()
