#!/usr/bin/env python3
"""Runs every statement of the workload on source and target and prints what each had to read.

compare.py PSQL SOURCE_HOST TARGET_HOST DATA; the databases are named source and target.
Statements that write are rolled back. Times are planning plus execution, the median of five after one warm-up.
"""
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import workload  # noqa: E402

RUNS = 5
BIG = ("flights", "weather")


class Database:
    """One side of the comparison."""

    def __init__(self, psql, host, name):
        self.command = [psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", "5432", "-U", "postgres", "-d", name]
        leaves = self.run(
            "SELECT t.root, p.relid::regclass::text FROM unnest('{%s}'::text[]) AS t(root),"
            " pg_partition_tree(t.root::regclass) AS p WHERE p.isleaf AND p.level > 0;" % ",".join(BIG)
        )
        # A plain table has no partition tree: it stands for itself.
        self.parts = {root: root for root in BIG}
        self.parts.update({part.split(".")[-1].strip('"'): root for root, part in (l.split("|") for l in leaves.splitlines())})

    def run(self, sql):
        return subprocess.run(self.command, input=sql, check=True, capture_output=True, text=True).stdout

    def explain(self, sql):
        """(shards scanned, rows touched, milliseconds)"""
        once = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}\n"
        # Each run in a savepoint: an INSERT could not be repeated otherwise.
        script = "BEGIN;\n" + f"SAVEPOINT s;\n{once}ROLLBACK TO s;\n" * (RUNS + 1) + "ROLLBACK;\n"
        output, decoder, plans, at = self.run(script), json.JSONDecoder(), [], 0
        while at < len(output.rstrip()):
            plan, at = decoder.raw_decode(output, at)
            plans.append(plan[0])
            while at < len(output) and output[at].isspace():
                at += 1
        plans = plans[1:]
        relations, rows = set(), 0.0
        for node in nodes(plans[0]["Plan"]):
            loops = node.get("Actual Loops", 0)
            root = self.parts.get(node.get("Relation Name"))
            if root is None or loops == 0 or node["Node Type"] == "ModifyTable":
                continue
            relations.add(node["Relation Name"])
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            rows += (node["Actual Rows"] + removed) * loops
        return len(relations), rows, statistics.median(p["Planning Time"] + p["Execution Time"] for p in plans)


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def main():
    psql, source_host, target_host, data = sys.argv[1:]
    source = Database(psql, source_host, "source")
    target = Database(psql, target_host, "target")
    flights = workload.known_flights(data)
    # One flight from the middle of the year stands for all.
    flight = flights[len(flights) // 2]
    for root in BIG:
        shards = sum(r == root and part != root for part, r in target.parts.items())
        print(f"{root} in the target: " + (f"{shards} shards" if shards else "one plain table"))
    print()
    print(f"{'':18} {'':>6} | {'relations scanned':^17} | {'rows touched':^19} | {'median ms':^17} | {'time':>6}")
    print("{:18} {:>6} | {:>8} {:>8} | {:>9} {:>9} | {:>8} {:>8} | {:>6}".format(
        "statement", "weight", "source", "target", "source", "target", "source", "target", "ratio"))
    print("-" * 18 + " " + "-" * 6 + "-+-" + "-" * 17 + "-+-" + "-" * 19 + "-+-" + "-" * 17 + "-+-" + "-" * 6)
    total = [0.0, 0.0]
    for name, weight, template in workload.templates():
        sql = workload.fill(template, flight, 999_999)
        before, after = source.explain(sql), target.explain(sql)
        total[0] += weight * before[2]
        total[1] += weight * after[2]
        print(f"{name:18} {weight:>6} | {before[0]:>8} {after[0]:>8} | {before[1]:>9,.0f} {after[1]:>9,.0f} |"
              f" {before[2]:>8.2f} {after[2]:>8.2f} | {after[2] / before[2]:>6.2f}")
    print(f"{'whole workload':18} {'':>6} | {'':>8} {'':>8} | {'':>9} {'':>9} |"
          f" {total[0]:>8.0f} {total[1]:>8.0f} | {total[1] / total[0]:>6.2f}")


if __name__ == "__main__":
    main()
