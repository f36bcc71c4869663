/*
 * retention.sql
 *    What bench/retention.sh measures on, in a database of its own.
 *
 *    event      a partition of rows of every common type, half a kilobyte each
 *    tick       two partitions of narrow rows, of which one is 100 times as large
 *    note       no partitions: archived and deleted in batches, by primary key
 *    peer       a partition like event's, as three ways of retention get it
 *
 * All logged, because the proof that a partition has not changed since its
 * export looks at the log positions of its pages.  Nothing has an index that the
 * work does not need: the worst case for what is added to the work.
 *
 * psql variables: event_rows, tick_rows, note_rows, peer_rows.
 */
CREATE FUNCTION tenant(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('5eed0000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

CREATE TABLE event (
    id bigint NOT NULL,
    tenant_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    amount numeric NOT NULL,
    digest bytea NOT NULL
) PARTITION BY RANGE (received_at);
CREATE TABLE event_old PARTITION OF event FOR VALUES FROM ('2020-01-01Z') TO ('2021-01-01Z');
INSERT INTO event_old
SELECT i, tenant(i % 1000), '2020-01-01Z'::timestamptz + i * interval '1.234567 seconds',
       (ARRAY['order.created', 'order.updated', 'payment "captured"', 'customer.deleted'])[1 + i % 4],
       format('{"id": %s, "type": "order.updated", "livemode": true, "attempt": %s, "customer": {"id": "cus_%s", "email": "someone.%s@example.com", "address": null},'
              ' "lines": [{"sku": "A-%s", "quantity": %s, "price": 19.99}, {"sku": "B-%s", "quantity": 1, "price": 249.5}],'
              ' "note": "deliver to the \"back\" door", "trace": "%s"}', i, i % 7, i % 5000, i % 5000, i % 300, i % 9, i % 211, md5(i::text))::jsonb,
       (i % 1000000)::numeric / 100, decode(md5(i::text), 'hex')
  FROM generate_series(1, :event_rows) i;
-- what is restored, and what COPY FROM fills
CREATE TABLE event_back (LIKE event);

CREATE TABLE tick (id bigint NOT NULL, tenant_id uuid NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE tick_large PARTITION OF tick FOR VALUES FROM ('2020-01-01Z') TO ('2021-01-01Z');
CREATE TABLE tick_small PARTITION OF tick FOR VALUES FROM ('2021-01-01Z') TO ('2022-01-01Z');
INSERT INTO tick_large SELECT i, tenant(7), '2020-01-01Z'::timestamptz + i * interval '1 second' FROM generate_series(1, :tick_rows) i;
INSERT INTO tick_small SELECT i, tenant(7), '2021-01-01Z'::timestamptz + i * interval '1 second' FROM generate_series(1, :tick_rows / 100) i;

CREATE TABLE note (LIKE event, PRIMARY KEY (id));
CREATE TABLE plain_note (LIKE event, PRIMARY KEY (id));

-- only purged, and beside other work
CREATE TABLE mark (LIKE note, PRIMARY KEY (id));

CREATE SCHEMA partman;
CREATE TABLE peer (LIKE event) PARTITION BY RANGE (received_at);
CREATE TABLE peer_old PARTITION OF peer FOR VALUES FROM ('2020-01-01Z') TO ('2021-01-01Z');
CREATE TABLE peer_partman (LIKE event) PARTITION BY RANGE (received_at);
CREATE TABLE peer_loop (LIKE event);
INSERT INTO peer_old SELECT * FROM event_old LIMIT :peer_rows;
INSERT INTO peer_loop SELECT * FROM event_old LIMIT :peer_rows;

GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON note, mark TO bench_service;
GRANT SELECT ON event, event_old TO bench_service;
CHECKPOINT;
VACUUM (FREEZE, ANALYZE);
