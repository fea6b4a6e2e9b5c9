-- Keys and indexes, made after the rows are in. That they can be made is also the check that the keys are unique
-- and that no row is without its airline, origin or weather station.
ALTER TABLE weather ADD PRIMARY KEY (origin, time_hour);
ALTER TABLE flights ADD PRIMARY KEY (time_hour, carrier, flight);
ALTER TABLE flights ADD FOREIGN KEY (carrier) REFERENCES airlines;
ALTER TABLE flights ADD FOREIGN KEY (origin) REFERENCES airports;
ALTER TABLE weather ADD FOREIGN KEY (origin) REFERENCES airports;
CREATE INDEX flights_tailnum_idx ON flights (tailnum);
CREATE INDEX flights_dest_time_hour_idx ON flights (dest, time_hour);
CREATE INDEX flights_carrier_time_hour_idx ON flights (carrier, time_hour);
CREATE INDEX flights_origin_time_hour_idx ON flights (origin, time_hour);
CREATE INDEX weather_time_hour_idx ON weather (time_hour);
VACUUM ANALYZE;
