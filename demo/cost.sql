-- cost.sql
--	  A governed table and its ungoverned twin, for demo/run's last chapter, and
--	  the rows that go into them.

SET client_min_messages = warning;
CREATE SCHEMA cost;
CREATE TABLE cost.governed (
	tenant_id uuid NOT NULL,
	delivery_id uuid NOT NULL,
	event text NOT NULL,
	action text,
	received_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, delivery_id)
);
CREATE TABLE cost.twin (LIKE cost.governed INCLUDING ALL);
CREATE TABLE cost.row AS
	SELECT :'tenant'::uuid AS tenant_id, gen_random_uuid() AS delivery_id, 'push' AS event, 'created' AS action, now() AS received_at
	  FROM generate_series(1, 100000);

-- the same 20,000 rows stand in both for the lookups
INSERT INTO cost.governed SELECT * FROM cost.row LIMIT 20000;
INSERT INTO cost.twin SELECT * FROM cost.governed;
DELETE FROM cost.row r USING cost.twin t WHERE r.delivery_id = t.delivery_id;
INSERT INTO cost.row SELECT :'tenant', gen_random_uuid(), 'push', 'created', now() FROM generate_series(1, 20000);

-- lookups by primary key: the governed one knows the tenant from the context,
-- its twin is told it
CREATE FUNCTION cost.governed_lookups(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id uuid;
BEGIN
	FOREACH id IN ARRAY ids LOOP
		PERFORM event FROM cost.governed WHERE delivery_id = id;
	END LOOP;
END
$$;
CREATE FUNCTION cost.twin_lookups(tenant uuid, ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id uuid;
BEGIN
	FOREACH id IN ARRAY ids LOOP
		PERFORM event FROM cost.twin WHERE tenant_id = tenant AND delivery_id = id;
	END LOOP;
END
$$;

GRANT USAGE ON SCHEMA cost TO webhook_gateway;
GRANT SELECT, INSERT ON cost.twin, cost.row TO webhook_gateway;
SELECT steward.govern('cost.governed', owner => 'WebhookGatewayService', retention => '{"until": "lifetime"}');
VACUUM ANALYZE cost.governed, cost.twin;
