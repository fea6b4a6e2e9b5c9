-- What the application asks. Each statement has a name, how often it comes among the others, and placeholders that
-- workload.py fills in: {day} {day+1}: a day of 2013 and the next; {week+}, {month+}: seven days, a month later;
-- {month}: the first of a month; {origin} {dest} {carrier} {tailnum} {flight}: one that exists.

--@ board 30
SELECT carrier, flight, dest, sched_dep_time, dep_time, dep_delay FROM flights
 WHERE origin = '{origin}' AND time_hour >= '{day}' AND time_hour < '{day+1}' ORDER BY sched_dep_time;

--@ one_flight 30
SELECT * FROM flights WHERE time_hour >= '{day}' AND time_hour < '{day+1}' AND carrier = '{carrier}' AND flight = {flight};

--@ day_report 12
SELECT carrier, count(*), avg(dep_delay), avg(arr_delay), count(*) FILTER (WHERE dep_time IS NULL) AS cancelled
  FROM flights WHERE time_hour >= '{day}' AND time_hour < '{day+1}' GROUP BY carrier ORDER BY count(*) DESC;

--@ week_report 6
SELECT date_trunc('day', time_hour) AS day, origin, count(*), avg(dep_delay) FROM flights
 WHERE time_hour >= '{day}' AND time_hour < '{week+}' GROUP BY 1, 2 ORDER BY 1, 2;

--@ month_report 3
SELECT origin, count(*), sum(distance), avg(air_time), avg(arr_delay) FROM flights
 WHERE time_hour >= '{month}' AND time_hour < '{month+}' GROUP BY origin;

--@ carrier_delays 6
SELECT a.name, avg(f.dep_delay), max(f.dep_delay), count(*) FROM flights f JOIN airlines a USING (carrier)
 WHERE f.carrier = '{carrier}' AND f.time_hour >= '{month}' AND f.time_hour < '{month+}' GROUP BY a.name;

--@ weather_delays 6
SELECT w.visib < 3 AS poor_sight, w.precip > 0 AS wet, count(*), avg(f.dep_delay)
  FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
 WHERE f.time_hour >= '{day}' AND f.time_hour < '{week+}' AND w.time_hour >= '{day}' AND w.time_hour < '{week+}'
 GROUP BY 1, 2;

--@ weather_now 12
SELECT time_hour, temp, wind_speed, visib FROM weather
 WHERE origin = '{origin}' AND time_hour >= '{day}' AND time_hour < '{day+1}' ORDER BY time_hour;

--@ top_destinations 3
SELECT f.dest, p.name, count(*) FROM flights f LEFT JOIN airports p ON p.faa = f.dest
 WHERE f.time_hour >= '{month}' AND f.time_hour < '{month+}' GROUP BY f.dest, p.name ORDER BY count(*) DESC LIMIT 10;

--@ route_month 8
SELECT time_hour, carrier, flight, air_time FROM flights
 WHERE dest = '{dest}' AND origin = '{origin}' AND time_hour >= '{month}' AND time_hour < '{month+}';

--@ aircraft_history 4
SELECT time_hour, origin, dest, air_time FROM flights WHERE tailnum = '{tailnum}' ORDER BY time_hour DESC LIMIT 50;

--@ aircraft_week 6
SELECT p.model, p.year, count(*), sum(f.distance) FROM flights f JOIN planes p ON p.tailnum = f.tailnum
 WHERE f.tailnum = '{tailnum}' AND f.time_hour >= '{day}' AND f.time_hour < '{week+}' GROUP BY p.model, p.year;

--@ new_flight 10
INSERT INTO flights (year, month, day, sched_dep_time, sched_arr_time, carrier, flight, tailnum, origin, dest, distance,
                     hour, minute, time_hour)
VALUES (2014, 1, 2, 515, 819, '{carrier}', 9{serial}, '{tailnum}', '{origin}', '{dest}', 1400, 5, 15, '2014-01-02 10:00+00');

--@ departed 10
UPDATE flights SET dep_time = 520, dep_delay = 5
 WHERE time_hour = '2014-01-02 10:00+00' AND carrier = '{carrier}' AND flight = 9{serial};

--@ late_day 2
UPDATE flights SET dep_delay = dep_delay WHERE time_hour >= '{day}' AND time_hour < '{day+1}' AND carrier = '{carrier}';

--@ withdrawn 1
DELETE FROM flights WHERE time_hour >= '2014-01-02' AND time_hour < '2014-01-03' AND flight > 9000;
