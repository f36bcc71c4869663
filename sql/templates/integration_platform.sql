/*
 * integration_platform.sql
 *	  The storage map of an integration platform, as a template.
 *
 * One row of steward.template_store for each row of the map, in the map's
 * order and words.  A row with "part_of" is a further table of the row above
 * it.  The DDL is what the template creates where a table does not exist yet.
 *
 * How the tables are made:
 * - The tenant comes first in every primary key, foreign key and index that
 *   a service uses.  Indexes that begin with a clock serve workers, which
 *   read across tenants.
 * - What expires by time is partitioned by its clock.  No foreign key points
 *   at such a table, so that its partitions can be detached and archived.
 * - No foreign key points at a row that may go before the one that names it:
 *   a run (180 days) outlives its connection (lifetime + 90 days).
 */
INSERT INTO steward.template_service (template, position, name, role) VALUES
	('integration_platform', 1, 'GitHubIntegrationService', 'github_integration'),
	('integration_platform', 2, 'VendorApiClientRegistryService', 'vendor_api_client_registry'),
	('integration_platform', 3, 'WebhookGatewayService', 'webhook_gateway'),
	('integration_platform', 4, 'MassTransit', 'mass_transit');

INSERT INTO steward.template_store (template, position, name, services, shared, store, ddl) VALUES

('integration_platform', 1, 'integration_connections',
 ARRAY['GitHubIntegrationService'], false,
$json${
	"data": "Integration connections",
	"kind": "table",
	"relation": "{schema}.connections",
	"scope": "tenant",
	"access": "Read-heavy point lookups by connectionId / tenantId",
	"keys": [["connection_id"], ["tenant_id"]],
	"retention": {"until": "lifetime", "clock": "deleted_at", "plus": "90 days"},
	"notes": "Tenant-partitioned; configuration as JSON column",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"owner_service": "Owning integration service (e.g. GitHubIntegrationService)"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.connections (
	tenant_id uuid NOT NULL,
	connection_id uuid NOT NULL DEFAULT gen_random_uuid(),
	provider_id text NOT NULL,
	name text NOT NULL,
	status text NOT NULL DEFAULT 'pending'
		CHECK (status IN ('pending', 'active', 'suspended', 'failed')),
	external_account_id text,
	configuration jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(configuration) = 'object'),
	credential_id uuid,
	credential_ref steward.secret_ref,
	last_used_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,
	PRIMARY KEY (tenant_id, connection_id)
);
CREATE UNIQUE INDEX ON {schema}.connections (tenant_id, provider_id, name)
	WHERE deleted_at IS NULL;
CREATE INDEX ON {schema}.connections (deleted_at)
	WHERE deleted_at IS NOT NULL;
$ddl$),

('integration_platform', 2, 'providers',
 ARRAY['VendorApiClientRegistryService'], false,
$json${
	"data": "Providers & API clients",
	"kind": "table",
	"relation": "{schema}.providers",
	"scope": "global",
	"access": "Read-heavy catalogue reads; cached in Redis",
	"keys": [["provider_id"]],
	"retention": {"until": "lifetime"},
	"notes": "global rows shared read-only across tenants",
	"words": {"store": "Azure SQL / PostgreSQL"}
}$json$,
$ddl$
CREATE TABLE {schema}.providers (
	provider_id text PRIMARY KEY
		CHECK (provider_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
	name text NOT NULL,
	category text NOT NULL,
	status text NOT NULL DEFAULT 'active'
		CHECK (status IN ('preview', 'active', 'deprecated', 'retired')),
	auth_scheme text NOT NULL
		CHECK (auth_scheme IN ('none', 'oauth2', 'api_key', 'basic', 'app_installation')),
	base_url text NOT NULL CHECK (base_url LIKE 'https://%'),
	capabilities jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(capabilities) = 'object'),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
$ddl$),

('integration_platform', 3, 'api_clients',
 ARRAY['VendorApiClientRegistryService'], false,
$json${
	"part_of": "providers",
	"kind": "table",
	"relation": "{schema}.api_clients",
	"scope": "global",
	"keys": [["provider_id"], ["api_client_id"]]
}$json$,
$ddl$
CREATE TABLE {schema}.api_clients (
	api_client_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	provider_id text NOT NULL REFERENCES {schema}.providers (provider_id),
	name text NOT NULL,
	api_version text NOT NULL,
	status text NOT NULL DEFAULT 'active'
		CHECK (status IN ('preview', 'active', 'deprecated', 'retired')),
	package_name text,
	package_version text,
	requests_per_minute integer CHECK (requests_per_minute > 0),
	timeout interval NOT NULL DEFAULT '30 seconds' CHECK (timeout > '0'),
	retry_policy jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(retry_policy) = 'object'),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (provider_id, name, api_version)
);
$ddl$),

('integration_platform', 4, 'credential_metadata',
 ARRAY['VendorApiClientRegistryService'], false,
$json${
	"data": "Credential metadata",
	"kind": "table",
	"relation": "{schema}.credentials",
	"scope": "tenant",
	"access": "Point lookups + rotation writes",
	"keys": [["credential_id"], ["connection_id"]],
	"retention": {"until": "lifetime", "clock": "revoked_at", "plus": "1 year"},
	"notes": "References only {dash} keyVaultRef, version, fingerprint; no secret bytes",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"retention": "Lifetime + audit window"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.credentials (
	tenant_id uuid NOT NULL,
	credential_id uuid NOT NULL DEFAULT gen_random_uuid(),
	connection_id uuid NOT NULL,
	provider_id text NOT NULL REFERENCES {schema}.providers (provider_id),
	auth_scheme text NOT NULL
		CHECK (auth_scheme IN ('oauth2', 'api_key', 'basic', 'app_installation')),
	status text NOT NULL DEFAULT 'active'
		CHECK (status IN ('active', 'rotating', 'expired', 'revoked')),
	key_vault_ref steward.secret_ref NOT NULL,
	version text,
	fingerprint steward.fingerprint,
	previous_version text,
	verified_at timestamptz,
	rotated_at timestamptz,
	rotate_after timestamptz,
	expires_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	revoked_at timestamptz,
	PRIMARY KEY (tenant_id, credential_id)
);
CREATE INDEX ON {schema}.credentials (tenant_id, connection_id);
CREATE INDEX ON {schema}.credentials (provider_id);
CREATE INDEX ON {schema}.credentials (rotate_after)
	WHERE status = 'active';
CREATE INDEX ON {schema}.credentials (revoked_at)
	WHERE revoked_at IS NOT NULL;
$ddl$),

('integration_platform', 5, 'credential_secrets',
 ARRAY['VendorApiClientRegistryService'], false,
$json${
	"data": "Credential secrets",
	"kind": "secret",
	"location": "https://{vault}.vault.azure.net/secrets/{tenant_id}-{name}",
	"scope": "tenant",
	"access": "Resolve at call time; rotate by version",
	"retention": {"until": "rotated"},
	"notes": "Never plaintext in any DB, log, or event; tenant-namespaced",
	"words": {
		"store": "Azure Key Vault",
		"owner_service": "VendorApiClientRegistryService (custodian)",
		"retention": "Per Key Vault rotation policy"
	}
}$json$,
NULL),

('integration_platform', 6, 'integration_runs',
 ARRAY['GitHubIntegrationService'], false,
$json${
	"data": "Integration runs",
	"kind": "table",
	"relation": "{schema}.runs",
	"scope": "tenant",
	"access": "Append-heavy writes; query by runId / connectionId",
	"keys": [["run_id"], ["connection_id"]],
	"retention": {"clock": "started_at", "hot": "180 days", "then": "archive", "keep": "2 years"},
	"notes": "One row per run + child RunAttempt rows",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"owner_service": "Owning integration service"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.runs (
	tenant_id uuid NOT NULL,
	run_id uuid NOT NULL DEFAULT gen_random_uuid(),
	connection_id uuid NOT NULL,
	operation text NOT NULL,
	triggered_by text NOT NULL
		CHECK (triggered_by IN ('schedule', 'webhook', 'manual', 'retry')),
	status text NOT NULL DEFAULT 'running'
		CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
	items_processed bigint NOT NULL DEFAULT 0 CHECK (items_processed >= 0),
	summary jsonb,
	trace_id text,
	started_at timestamptz NOT NULL DEFAULT now(),
	finished_at timestamptz,
	PRIMARY KEY (tenant_id, run_id, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX ON {schema}.runs (tenant_id, connection_id, started_at DESC);
$ddl$),

('integration_platform', 7, 'run_attempts',
 ARRAY['GitHubIntegrationService'], false,
$json${
	"part_of": "integration_runs",
	"kind": "table",
	"relation": "{schema}.run_attempts",
	"scope": "tenant",
	"keys": [["run_id"]],
	"retention": {"clock": "started_at", "hot": "180 days", "then": "archive", "keep": "2 years"}
}$json$,
$ddl$
CREATE TABLE {schema}.run_attempts (
	tenant_id uuid NOT NULL,
	run_id uuid NOT NULL,
	attempt integer NOT NULL CHECK (attempt > 0),
	status text NOT NULL DEFAULT 'running'
		CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled')),
	http_status integer CHECK (http_status BETWEEN 100 AND 599),
	error_code text,
	error_message text,
	request_ref steward.blob_ref,
	response_ref steward.blob_ref,
	started_at timestamptz NOT NULL DEFAULT now(),
	finished_at timestamptz,
	PRIMARY KEY (tenant_id, run_id, attempt, started_at)
) PARTITION BY RANGE (started_at);
$ddl$),

('integration_platform', 8, 'integration_failures',
 ARRAY['GitHubIntegrationService', 'WebhookGatewayService'], true,
$json${
	"data": "Integration failures",
	"kind": "table",
	"relation": "{schema}.failures",
	"scope": "tenant",
	"row_owner": "owner_service",
	"access": "Write on failure; sweep by IntegrationRetryWorker",
	"keys": [["failure_id"], ["status", "next_retry_at"]],
	"retention": {"clock": "failed_at", "hot": "180 days", "then": "purge"},
	"notes": "Drives retry and escalation analytics",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"owner_service": "Owning integration service / WebhookGatewayService"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.failures (
	tenant_id uuid NOT NULL,
	failure_id uuid NOT NULL DEFAULT gen_random_uuid(),
	owner_service text NOT NULL,
	connection_id uuid,
	run_id uuid,
	delivery_id uuid,
	category text NOT NULL
		CHECK (category IN ('transient', 'rate_limited', 'authentication', 'permanent', 'poison')),
	error_code text,
	error_message text,
	status text NOT NULL DEFAULT 'open'
		CHECK (status IN ('open', 'retrying', 'resolved', 'escalated', 'abandoned')),
	attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	next_retry_at timestamptz,
	escalated_at timestamptz,
	resolved_at timestamptz,
	trace_id text,
	failed_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, failure_id, failed_at)
) PARTITION BY RANGE (failed_at);
CREATE INDEX ON {schema}.failures (tenant_id, status, next_retry_at);
CREATE INDEX ON {schema}.failures (next_retry_at)
	WHERE status IN ('open', 'retrying');
$ddl$),

('integration_platform', 9, 'webhook_subscriptions',
 ARRAY['WebhookGatewayService'], false,
$json${
	"data": "Webhook subscriptions",
	"kind": "table",
	"relation": "{schema}.subscriptions",
	"scope": "tenant",
	"access": "Read on every matching event; write on subscribe",
	"keys": [["event"], ["subscription_id"]],
	"retention": {"until": "lifetime", "clock": "deleted_at"},
	"notes": "signingSecretRef points to Key Vault",
	"words": {"store": "Azure SQL / PostgreSQL"}
}$json$,
$ddl$
CREATE TABLE {schema}.subscriptions (
	tenant_id uuid NOT NULL,
	subscription_id uuid NOT NULL DEFAULT gen_random_uuid(),
	connection_id uuid,
	event text NOT NULL,
	action text,
	target_url text NOT NULL CHECK (target_url LIKE 'https://%'),
	signing_secret_ref steward.secret_ref NOT NULL,
	filter jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(filter) = 'object'),
	status text NOT NULL DEFAULT 'active'
		CHECK (status IN ('pending', 'active', 'paused')),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,
	PRIMARY KEY (tenant_id, subscription_id)
);
CREATE INDEX ON {schema}.subscriptions (tenant_id, event, action);
CREATE INDEX ON {schema}.subscriptions (deleted_at)
	WHERE deleted_at IS NOT NULL;
$ddl$),

('integration_platform', 10, 'webhook_deliveries',
 ARRAY['WebhookGatewayService'], false,
$json${
	"data": "Webhook delivery metadata",
	"kind": "table",
	"relation": "{schema}.deliveries",
	"scope": "tenant",
	"access": "Append + status updates; query by deliveryId",
	"keys": [["delivery_id"]],
	"retention": {"clock": "received_at", "hot": "90 days", "then": "archive", "keep": "7 years"},
	"notes": "payloadRef points to Blob",
	"words": {"store": "Azure SQL / PostgreSQL"}
}$json$,
$ddl$
CREATE TABLE {schema}.deliveries (
	tenant_id uuid NOT NULL,
	delivery_id uuid NOT NULL DEFAULT gen_random_uuid(),
	subscription_id uuid,
	event text NOT NULL,
	action text,
	status text NOT NULL DEFAULT 'received'
		CHECK (status IN ('received', 'queued', 'delivered', 'failed', 'dead_lettered')),
	attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	next_attempt_at timestamptz,
	response_status integer CHECK (response_status BETWEEN 100 AND 599),
	headers jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(headers) = 'object'),
	payload jsonb,
	payload_ref steward.blob_ref,
	payload_digest steward.fingerprint,
	trace_id text,
	received_at timestamptz NOT NULL DEFAULT now(),
	delivered_at timestamptz,
	PRIMARY KEY (tenant_id, delivery_id, received_at),
	CHECK (payload IS NULL OR payload_ref IS NULL)
) PARTITION BY RANGE (received_at);
CREATE INDEX ON {schema}.deliveries (tenant_id, subscription_id, received_at DESC);
CREATE INDEX ON {schema}.deliveries (next_attempt_at)
	WHERE status IN ('received', 'queued');
$ddl$),

('integration_platform', 11, 'raw_webhook_payloads',
 ARRAY['WebhookGatewayService'], false,
$json${
	"data": "Raw webhook payloads",
	"kind": "blob",
	"location": "https://{account}.blob.core.windows.net/{tenant_id}-payloads",
	"scope": "tenant",
	"write_once": true,
	"access": "Write once on ingress; read on replay",
	"retention": {"hot": "30 days", "then": "tier", "keep": "1 year"},
	"notes": "Container partitioned by tenantId; short-lived SAS",
	"words": {"store": "Azure Blob"}
}$json$,
NULL),

('integration_platform', 12, 'request_response_bodies',
 ARRAY['GitHubIntegrationService'], false,
$json${
	"data": "Request / response bodies",
	"kind": "blob",
	"location": "https://{account}.blob.core.windows.net/{tenant_id}-bodies",
	"scope": "tenant",
	"access": "Write on run; read for diagnostics/replay",
	"retention": {"hot": "30 days", "then": "tier", "keep": "1 year"},
	"notes": "Large model/cloud payloads kept off the relational store",
	"words": {
		"store": "Azure Blob",
		"owner_service": "Owning integration service"
	}
}$json$,
NULL),

('integration_platform', 13, 'provider_cache',
 ARRAY['VendorApiClientRegistryService'], false,
$json${
	"data": "Provider lookups & rate-limit buckets",
	"kind": "cache",
	"location": "redis://{cache}/{tenant_id}:providers:{provider_id}",
	"scope": "tenant",
	"access": "Hot read/write; TTL-based",
	"retention": {"ttl": "01:00:00"},
	"notes": "Rebuildable from SQL; never a source of record",
	"words": {
		"store": "Redis",
		"retention": "Ephemeral (cache)"
	}
}$json$,
NULL),

('integration_platform', 14, 'integration_events',
 ARRAY['MassTransit'], false,
$json${
	"data": "Events (transport)",
	"kind": "transport",
	"location": "sb://{namespace}.servicebus.windows.net/{topic}",
	"scope": "service",
	"access": "Publish/subscribe; dead-letter on poison",
	"retention": {"ttl": "14 days"},
	"notes": "Carries canonical envelope; not a store of record",
	"words": {
		"store": "Azure Service Bus",
		"owner_service": "MassTransit (all services)",
		"retention": "Per subscription TTL"
	}
}$json$,
NULL);
