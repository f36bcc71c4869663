-- prepare.sql
--	  What the violations need in the database platform: a few rows, and every
--	  privilege that GRANT can give, so that no refusal is a mere GRANT's.

SET client_min_messages = warning;

SELECT steward.set_tenant(NULL::text) \g /dev/null
-- a foreign key that forgets the tenant, and cascades
CREATE TABLE order_service.shipments (
	tenant_id uuid NOT NULL,
	shipment_id integer PRIMARY KEY,
	order_number text
);
CREATE TABLE order_service.parcels (
	tenant_id uuid NOT NULL,
	parcel_id integer PRIMARY KEY,
	shipment_id integer REFERENCES order_service.shipments ON DELETE CASCADE
);
ALTER TABLE order_service.shipments OWNER TO steward_pipeline;
ALTER TABLE order_service.parcels OWNER TO steward_pipeline;
INSERT INTO order_service.shipments VALUES (:'acme', 1, 'A-1'), (:'globex', 2, 'G-1');
INSERT INTO order_service.parcels VALUES (:'acme', 1, 1), (:'globex', 2, 1);	-- Globex's parcel hangs on Acme's shipment
SELECT steward.govern(t, owner => 'Order Service', retention => '{"until": "tenant_lifetime"}')
  FROM unnest(ARRAY['order_service.shipments', 'order_service.parcels']::regclass[]) t \g /dev/null

SET ROLE audit_app;
BEGIN;
SELECT steward.set_tenant(:'acme') \g /dev/null
INSERT INTO audit_trail_service.audit_entries (tenant_id, trace_id, source_service, actor_type, action, resource_type, occurred_at)
	VALUES (:'acme', 'trace-1', 'Order Service', 'user', 'order.place', 'order', now());
COMMIT;
SET ROLE github_app;
BEGIN;
SELECT steward.set_tenant(:'acme') \g /dev/null
INSERT INTO github_integration.failures (tenant_id, owner_service, category)
	VALUES (:'acme', 'GitHubIntegrationService', 'transient');
COMMIT;
SET ROLE registry_app;
INSERT INTO vendor_api_client_registry.providers (provider_id, name, category, auth_scheme, base_url)
	VALUES ('github', 'GitHub', 'code', 'app_installation', 'https://api.github.com');
SET ROLE gateway_app;
BEGIN;
SELECT steward.set_tenant(:'acme') \g /dev/null
INSERT INTO webhook_gateway.subscriptions (tenant_id, event, target_url, signing_secret_ref)
	VALUES (:'acme', 'push', 'https://acme.example/hook', 'https://acme.vault.azure.net/secrets/acme-signing');
INSERT INTO webhook_gateway.deliveries (tenant_id, event) VALUES (:'acme', 'ping');
COMMIT;
RESET ROLE;

SELECT format('GRANT USAGE ON SCHEMA %1$I TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA %1$I TO PUBLIC', role::text)
  FROM steward.service WHERE to_regnamespace(role::text) IS NOT NULL
\gexec
