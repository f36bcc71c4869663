-- cost_select.sql
--	  30,000 lookups by primary key in cost.:table, timed when warm.

SELECT :'table' = 'governed' AS governed \gset
BEGIN;
SELECT steward.set_tenant(:'tenant') \g /dev/null
SELECT array_agg(delivery_id) AS ids FROM (SELECT delivery_id FROM cost.twin ORDER BY delivery_id LIMIT 10000) x \gset
\if :governed
SELECT cost.governed_lookups(:'ids') \g /dev/null
\timing on
SELECT cost.governed_lookups(i) FROM (SELECT (:'ids'::uuid[]) AS i FROM generate_series(1, 3)) x \g /dev/null
\else
SELECT cost.twin_lookups(:'tenant', :'ids') \g /dev/null
\timing on
SELECT cost.twin_lookups(:'tenant', i) FROM (SELECT (:'ids'::uuid[]) AS i FROM generate_series(1, 3)) x \g /dev/null
\endif
\timing off
ROLLBACK;
