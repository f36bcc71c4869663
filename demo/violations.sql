-- violations.sql
--	  One violation of each rule, for demo/run, which runs each in a session of
--	  its own and fails unless it ends as said here.
--
-- "# ..." is a heading.  Each violation is its title, then a line that says
--	  as ROLE in DATABASE [for TENANT] [options OPTIONS] [shows]: EXPECTED
-- then what to run, up to the next empty line.  EXPECTED is the SQLSTATE and,
-- where there is one, the rule in the error's constraint field; after "shows"
-- it is the answer.  "for acme" means: in a transaction that begins with
-- steward.set_tenant('<Acme's id>').  {acme} and {globex} are the tenants' ids,
-- {partition} is this month's partition of the deliveries.

-- # A tenant never meets another tenant

-- Globex's row, written in Acme's transaction
-- as gateway_app in webhook_gateway for acme: 42501 steward_tenant
INSERT INTO webhook_gateway.deliveries (tenant_id, event) VALUES ('{globex}', 'push');

-- Globex's rows, sent by COPY
-- as gateway_app in webhook_gateway for acme: 42501 steward_tenant
COPY webhook_gateway.deliveries (tenant_id, event) FROM STDIN (DELIMITER ',');
{acme},push
{globex},push
\.

-- Globex's row, written past the parent into a partition
-- as gateway_app in platform for acme: 42501 steward_tenant
INSERT INTO webhook_gateway.{partition} (tenant_id, event)
VALUES ('{globex}', 'push');

-- Acme's row, handed over to Globex
-- as gateway_app in webhook_gateway for acme: 42501 steward_tenant
UPDATE webhook_gateway.deliveries SET tenant_id = '{globex}';

-- Globex's rows, read in Acme's transaction: there are none
-- as gateway_app in webhook_gateway for acme shows: 0
SELECT count(*) FROM webhook_gateway.deliveries WHERE tenant_id = '{globex}';

-- Everyone's rows, read by a service that forgot to say for whom: there are none
-- as gateway_app in webhook_gateway shows: 0
SELECT count(*) FROM webhook_gateway.deliveries;

-- A row, written by a service that forgot to say for whom
-- as gateway_app in webhook_gateway: 42501 steward_tenant
INSERT INTO webhook_gateway.deliveries (tenant_id, event) VALUES ('{acme}', 'push');

-- The tenant, forged with SET by injected SQL
-- as gateway_app in webhook_gateway for acme: 55P02
SET steward.tenant = '{globex}';

-- The tenant, forged when connecting
-- as gateway_app in webhook_gateway options steward.tenant={globex}: 55P02
SELECT count(*) FROM webhook_gateway.deliveries;

-- Every tenant's rows, gone with TRUNCATE
-- as order_app in platform for acme: 42501 steward_tenant
TRUNCATE order_service.parcels;

-- Globex's parcel, deleted by the cascade of a foreign key from Acme's shipment
-- as order_app in platform for acme: 42501 steward_tenant
DELETE FROM order_service.shipments WHERE shipment_id = 1;

-- # A store has one owner (everyone here was granted everything)

-- Another service writes the gateway's store
-- as github_app in platform for acme: 42501 steward_owner
UPDATE webhook_gateway.deliveries SET status = 'failed';

-- Another service reads it
-- as github_app in platform for acme: 42501 steward_owner
SELECT * FROM webhook_gateway.deliveries;

-- A superuser writes it
-- as postgres in platform for acme: 42501 steward_owner
DELETE FROM webhook_gateway.deliveries;

-- The owner of the table writes it
-- as pipeline_app in platform for acme: 42501 steward_owner
INSERT INTO webhook_gateway.deliveries (tenant_id, event) VALUES ('{acme}', 'push');

-- A shared store whose rows have owners: the gateway changes the integration service's row
-- as gateway_app in platform for acme: 42501 steward_row_owner
UPDATE github_integration.failures SET status = 'resolved';

-- A global catalogue, read by all: someone else than its owner changes it
-- as github_app in platform for acme: 42501 steward_owner
UPDATE vendor_api_client_registry.providers SET base_url = 'https://api.example.com';

-- A manifest gives a store two owners
-- as postgres in platform: 22023
SELECT * FROM steward.apply('{"stores": [{"name": "raw_webhook_payloads", "kind": "blob",
    "owner": ["WebhookGatewayService", "GitHubIntegrationService"]}]}');

-- # What is append-only is not changed, by its owner either

-- An audit entry, changed
-- as audit_app in platform for acme: 42501 steward_append_only
UPDATE audit_trail_service.audit_entries SET outcome = 'denied';

-- An audit entry, deleted
-- as audit_app in platform for acme: 42501 steward_append_only
DELETE FROM audit_trail_service.audit_entries;

-- All of them, truncated
-- as audit_app in platform for acme: 42501 steward_append_only
TRUNCATE audit_trail_service.audit_entries;

-- # References, never secrets

-- Something that is no Key Vault address, where a secret's address belongs
-- as gateway_app in platform for acme: 22P02
UPDATE webhook_gateway.subscriptions SET signing_secret_ref = 'correct horse battery staple';

-- An address of someone else's vault
-- as gateway_app in platform for acme: 22P02
UPDATE webhook_gateway.subscriptions SET signing_secret_ref = 'https://vault.example.com/secrets/acme-signing';

-- A blob's address with an access signature in it (made here, from parts)
-- as gateway_app in platform for acme: 22P02
UPDATE webhook_gateway.deliveries
   SET payload_ref = 'https://acme.blob.core.windows.net/payloads/1.json?sv=2024-11-04&si' || 'g=' || md5('1');

-- A fingerprint that does not say how it was made
-- as gateway_app in platform for acme: 22P02
UPDATE webhook_gateway.deliveries SET payload_digest = md5('1');
