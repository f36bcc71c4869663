-- cost_copy.sql
--	  COPY of psql's standard input into cost.:table, timed, and undone.

SELECT :'table' = 'governed' AS governed \gset
BEGIN;
SELECT steward.set_tenant(:'tenant') \g /dev/null
\timing on
\if :governed
\copy cost.governed FROM PSTDIN
\else
\copy cost.twin FROM PSTDIN
\endif
\timing off
ROLLBACK;
