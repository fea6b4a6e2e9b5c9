-- The flights that left New York City in 2013, as an application would keep them: plain tables, no partitions.
CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name text NOT NULL
);
CREATE TABLE airports (
    faa text PRIMARY KEY,
    name text NOT NULL,
    lat float8 NOT NULL,
    lon float8 NOT NULL,
    alt int NOT NULL,
    tz int NOT NULL,
    dst text NOT NULL,
    tzone text
);
CREATE TABLE planes (
    tailnum text PRIMARY KEY,
    year int,
    type text NOT NULL,
    manufacturer text NOT NULL,
    model text NOT NULL,
    engines int NOT NULL,
    seats int NOT NULL,
    speed int,
    engine text NOT NULL
);
CREATE TABLE weather (
    origin text NOT NULL,
    year int NOT NULL,
    month int NOT NULL,
    day int NOT NULL,
    hour int NOT NULL,
    temp float8,
    dewp float8,
    humid float8,
    wind_dir int,
    wind_speed float8,
    wind_gust float8,
    precip float8 NOT NULL,
    pressure float8,
    visib float8 NOT NULL,
    time_hour timestamptz NOT NULL
);
CREATE TABLE flights (
    year int NOT NULL,
    month int NOT NULL,
    day int NOT NULL,
    dep_time int,
    sched_dep_time int NOT NULL,
    dep_delay int,
    arr_time int,
    sched_arr_time int NOT NULL,
    arr_delay int,
    carrier text NOT NULL,
    flight int NOT NULL,
    tailnum text,
    origin text NOT NULL,
    dest text NOT NULL,
    air_time int,
    distance int NOT NULL,
    hour int NOT NULL,
    minute int NOT NULL,
    time_hour timestamptz NOT NULL
);
