-- load.sql
--	  One tenant's deliveries, from psql's standard input, as the gateway itself
--	  would load them: one transaction, one tenant, COPY FROM STDIN.

BEGIN;
SELECT steward.set_tenant(:'tenant') \g /dev/null
\copy webhook_gateway.deliveries (tenant_id, delivery_id, event, action, status, attempts, headers, payload, payload_digest, trace_id, received_at) FROM PSTDIN
COMMIT;
