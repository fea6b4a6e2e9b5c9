-- Predicted against found, statement by statement and table by table: shares of the table's rows that one execution
-- looks at, in the sharded database.
CREATE TEMP VIEW predicted AS
SELECT s.number, e.relation, max(e.rows_after) AS rows_after, max(e.rows_before) AS rows_before, max(e.shards_after) AS shards, min(e.error) AS error
FROM proposal_evidence(:id) AS e JOIN measure.statements AS s ON s.statement = e.statement
GROUP BY 1, 2;
CREATE TEMP VIEW found AS
SELECT number, CASE WHEN relation LIKE '%.%' THEN relation ELSE 'public.' || relation END AS relation,
       sum(rows) FILTER (WHERE phase = 'before') AS before, sum(rows) FILTER (WHERE phase = 'after') AS after, sum(shards) FILTER (WHERE phase = 'after') AS shards
FROM measure.looked GROUP BY 1, 2;
CREATE TEMP TABLE compared AS
SELECT f.number, f.relation, p.shards AS shards_predicted, round(f.shards::numeric, 1) AS shards_found,
       p.rows_after AS predicted, f.after AS found, p.error
FROM found AS f JOIN predicted AS p USING (number, relation)
WHERE EXISTS (SELECT FROM presplit.proposals AS r WHERE r.proposal_id = :id AND r.relation = f.relation AND r.strategy <> 'none');
SELECT number AS query, relation, shards_predicted, shards_found, round(predicted::numeric) AS rows_predicted, round(found::numeric, 1) AS rows_found,
       round((predicted / nullif(found, 0))::numeric, 3) AS ratio, error
FROM compared ORDER BY number, relation;
SELECT count(*) AS pairs, count(*) FILTER (WHERE predicted BETWEEN found / 1.1 - 1 AND found * 1.1 + 1) AS within_10_percent,
       round((sum(predicted) / nullif(sum(found), 0))::numeric, 3) AS all_rows_ratio
FROM compared;
