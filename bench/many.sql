/*
 * many.sql
 *    A database of many small tables, the first ten of them filled.
 *
 * psql variable: tables.
 */
SELECT format('CREATE TABLE t%s (tenant_id uuid, id bigint, received_at timestamptz NOT NULL, status text, payload text, PRIMARY KEY (tenant_id, id))', i)
  FROM generate_series(1, :tables) i
\gexec
SELECT format('INSERT INTO t%s SELECT %L, i, now(), ''received'', repeat(md5(i::text), 3) FROM generate_series(1, 1000) i', t, :'tenant')
  FROM generate_series(1, 10) t
\gexec
VACUUM ANALYZE;
