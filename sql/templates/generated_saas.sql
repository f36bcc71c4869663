/*
 * generated_saas.sql
 *	  The storage map of a generated SaaS product, as a template.
 *
 * Made as integration_platform.sql is; its header says how.  Where the first
 * table of a map row refers to a later one, the later one's DDL adds the
 * foreign key.
 */
INSERT INTO steward.template_service (template, position, name, role) VALUES
	('generated_saas', 1, 'Tenant Management', 'tenant_management'),
	('generated_saas', 2, 'Identity Service', 'identity_service'),
	('generated_saas', 3, 'Authorization Server', 'authorization_server'),
	('generated_saas', 4, 'Subscription & Billing', 'subscription_billing'),
	('generated_saas', 5, 'Configuration Service', 'configuration_service'),
	('generated_saas', 6, 'Order Service', 'order_service'),
	('generated_saas', 7, 'Audit Trail Service', 'audit_trail_service'),
	('generated_saas', 8, 'Notification Service', 'notification_service'),
	('generated_saas', 9, 'Integration Service', 'integration_service'),
	('generated_saas', 10, 'Reporting & Analytics', 'reporting_analytics'),
	('generated_saas', 11, 'API Gateway', 'api_gateway');

INSERT INTO steward.template_store (template, position, name, services, shared, store, ddl) VALUES

('generated_saas', 1, 'tenant_registry',
 ARRAY['Tenant Management'], false,
$json${
	"data": "Tenant registry",
	"kind": "table",
	"relation": "{schema}.tenants",
	"scope": "tenant",
	"access": "Read-heavy lookups, low write",
	"keys": [["tenant_id"]],
	"retention": {"until": "lifetime", "clock": "ended_at"},
	"registry": true,
	"notes": "Source of the tenantId discriminator",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"retention": "Tenant lifetime"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.tenants (
	tenant_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	slug text NOT NULL UNIQUE
		CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
	name text NOT NULL,
	status text NOT NULL DEFAULT 'provisioning'
		CHECK (status IN ('provisioning', 'active', 'suspended', 'ended')),
	isolation text NOT NULL DEFAULT 'discriminator'
		CHECK (isolation IN ('discriminator', 'schema', 'database')),
	region text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	suspended_at timestamptz,
	ended_at timestamptz,
	CHECK (status <> 'ended' OR ended_at IS NOT NULL)
);
CREATE INDEX ON {schema}.tenants (ended_at)
	WHERE ended_at IS NOT NULL;
$ddl$),

('generated_saas', 2, 'users',
 ARRAY['Identity Service'], false,
$json${
	"data": "Users, roles, permissions",
	"kind": "table",
	"relation": "{schema}.users",
	"scope": "tenant",
	"access": "Read-heavy (authz), moderate write",
	"keys": [["user_id"], ["email"]],
	"retention": {"until": "tenant_lifetime"},
	"notes": "Permissions are a platform-level catalog",
	"words": {"store": "Azure SQL / PostgreSQL"}
}$json$,
$ddl$
CREATE TABLE {schema}.users (
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL DEFAULT gen_random_uuid(),
	email text NOT NULL CHECK (email = lower(email)),
	display_name text NOT NULL,
	status text NOT NULL DEFAULT 'invited'
		CHECK (status IN ('invited', 'active', 'locked', 'disabled')),
	identity_provider text,
	external_subject text,
	email_verified_at timestamptz,
	last_sign_in_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, user_id),
	UNIQUE (tenant_id, email),
	UNIQUE (tenant_id, identity_provider, external_subject)
);
$ddl$),

('generated_saas', 3, 'roles',
 ARRAY['Identity Service'], false,
$json${
	"part_of": "users",
	"kind": "table",
	"relation": "{schema}.roles",
	"scope": "tenant",
	"keys": [["role_id"]]
}$json$,
$ddl$
CREATE TABLE {schema}.roles (
	tenant_id uuid NOT NULL,
	role_id uuid NOT NULL DEFAULT gen_random_uuid(),
	name text NOT NULL,
	description text,
	built_in boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, role_id),
	UNIQUE (tenant_id, name)
);
$ddl$),

('generated_saas', 4, 'permissions',
 ARRAY['Identity Service'], false,
$json${
	"part_of": "users",
	"kind": "table",
	"relation": "{schema}.permissions",
	"scope": "global",
	"keys": [["permission_id"]],
	"retention": {"until": "lifetime"}
}$json$,
$ddl$
CREATE TABLE {schema}.permissions (
	permission_id text PRIMARY KEY
		CHECK (permission_id ~ '^[a-z0-9_]+([.:][a-z0-9_]+)*$'),
	description text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
$ddl$),

('generated_saas', 5, 'role_permissions',
 ARRAY['Identity Service'], false,
$json${
	"part_of": "users",
	"kind": "table",
	"relation": "{schema}.role_permissions",
	"scope": "tenant",
	"keys": [["role_id"]]
}$json$,
$ddl$
CREATE TABLE {schema}.role_permissions (
	tenant_id uuid NOT NULL,
	role_id uuid NOT NULL,
	permission_id text NOT NULL REFERENCES {schema}.permissions (permission_id),
	granted_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, role_id, permission_id),
	FOREIGN KEY (tenant_id, role_id) REFERENCES {schema}.roles (tenant_id, role_id)
);
CREATE INDEX ON {schema}.role_permissions (permission_id);
$ddl$),

('generated_saas', 6, 'user_roles',
 ARRAY['Identity Service'], false,
$json${
	"part_of": "users",
	"kind": "table",
	"relation": "{schema}.user_roles",
	"scope": "tenant",
	"keys": [["user_id"], ["role_id"]]
}$json$,
$ddl$
CREATE TABLE {schema}.user_roles (
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	role_id uuid NOT NULL,
	granted_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, user_id, role_id),
	FOREIGN KEY (tenant_id, user_id) REFERENCES {schema}.users (tenant_id, user_id),
	FOREIGN KEY (tenant_id, role_id) REFERENCES {schema}.roles (tenant_id, role_id)
);
CREATE INDEX ON {schema}.user_roles (tenant_id, role_id);
$ddl$),

('generated_saas', 7, 'openiddict_tokens',
 ARRAY['Authorization Server'], false,
$json${
	"data": "OpenIddict tokens/clients",
	"kind": "table",
	"relation": "{schema}.openiddict_tokens",
	"scope": "tenant",
	"access": "High read on validation",
	"keys": [["token_id"], ["reference_digest"]],
	"retention": {"until": "expired", "clock": "expires_at"},
	"notes": "Refresh/auth-code records pruned on expiry",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"retention": "Token lifetime"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.openiddict_tokens (
	tenant_id uuid NOT NULL,
	token_id uuid NOT NULL DEFAULT gen_random_uuid(),
	client_id text NOT NULL,
	authorization_id uuid,
	subject text,
	token_type text NOT NULL
		CHECK (token_type IN ('authorization_code', 'access_token', 'refresh_token', 'device_code', 'user_code')),
	status text NOT NULL DEFAULT 'valid'
		CHECK (status IN ('inactive', 'valid', 'redeemed', 'rejected', 'revoked')),
	reference_digest steward.fingerprint,
	created_at timestamptz NOT NULL DEFAULT now(),
	redeemed_at timestamptz,
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, token_id),
	UNIQUE (tenant_id, reference_digest)
);
CREATE INDEX ON {schema}.openiddict_tokens (tenant_id, client_id, subject);
CREATE INDEX ON {schema}.openiddict_tokens (tenant_id, authorization_id);
CREATE INDEX ON {schema}.openiddict_tokens (expires_at);
$ddl$),

('generated_saas', 8, 'openiddict_clients',
 ARRAY['Authorization Server'], false,
$json${
	"part_of": "openiddict_tokens",
	"kind": "table",
	"relation": "{schema}.openiddict_clients",
	"scope": "tenant",
	"keys": [["client_id"]],
	"retention": {"until": "lifetime", "clock": "deleted_at", "plus": "90 days"}
}$json$,
$ddl$
CREATE TABLE {schema}.openiddict_clients (
	tenant_id uuid NOT NULL,
	client_id text NOT NULL,
	display_name text,
	client_type text NOT NULL
		CHECK (client_type IN ('public', 'confidential')),
	consent_type text NOT NULL DEFAULT 'explicit'
		CHECK (consent_type IN ('explicit', 'external', 'implicit', 'systematic')),
	client_secret_ref steward.secret_ref,
	client_secret_fingerprint steward.fingerprint,
	redirect_uris jsonb NOT NULL DEFAULT '[]'
		CHECK (jsonb_typeof(redirect_uris) = 'array'),
	permissions jsonb NOT NULL DEFAULT '[]'
		CHECK (jsonb_typeof(permissions) = 'array'),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz,
	deleted_at timestamptz,
	PRIMARY KEY (tenant_id, client_id),
	CHECK (client_type = 'confidential' OR client_secret_ref IS NULL)
);
CREATE INDEX ON {schema}.openiddict_clients (deleted_at)
	WHERE deleted_at IS NOT NULL;
ALTER TABLE {schema}.openiddict_tokens
	ADD FOREIGN KEY (tenant_id, client_id) REFERENCES {schema}.openiddict_clients (tenant_id, client_id);
$ddl$),

('generated_saas', 9, 'subscriptions',
 ARRAY['Subscription & Billing'], false,
$json${
	"data": "Subscriptions, editions, billing",
	"kind": "table",
	"relation": "{schema}.subscriptions",
	"scope": "tenant",
	"access": "Transactional",
	"keys": [["subscription_id"]],
	"retention": {"until": "tenant_lifetime", "plus": "7 years"},
	"notes": "Editions are a platform-level catalog",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"retention": "Tenant lifetime + financial retention"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.subscriptions (
	tenant_id uuid NOT NULL,
	subscription_id uuid NOT NULL DEFAULT gen_random_uuid(),
	edition_id text NOT NULL,
	status text NOT NULL DEFAULT 'trialing'
		CHECK (status IN ('trialing', 'active', 'past_due', 'cancelled', 'ended')),
	billing_period text NOT NULL DEFAULT 'month'
		CHECK (billing_period IN ('month', 'year')),
	seats integer NOT NULL DEFAULT 1 CHECK (seats > 0),
	unit_price numeric(14,2) NOT NULL CHECK (unit_price >= 0),
	currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	billing_customer_id text,
	started_at timestamptz NOT NULL DEFAULT now(),
	current_period_end timestamptz NOT NULL,
	cancel_at timestamptz,
	ended_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, subscription_id)
);
CREATE INDEX ON {schema}.subscriptions (edition_id);
CREATE INDEX ON {schema}.subscriptions (current_period_end)
	WHERE ended_at IS NULL;
$ddl$),

('generated_saas', 10, 'editions',
 ARRAY['Subscription & Billing'], false,
$json${
	"part_of": "subscriptions",
	"kind": "table",
	"relation": "{schema}.editions",
	"scope": "global",
	"keys": [["edition_id"]],
	"retention": {"until": "lifetime"}
}$json$,
$ddl$
CREATE TABLE {schema}.editions (
	edition_id text PRIMARY KEY
		CHECK (edition_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
	name text NOT NULL,
	status text NOT NULL DEFAULT 'active'
		CHECK (status IN ('draft', 'active', 'retired')),
	monthly_price numeric(14,2) NOT NULL CHECK (monthly_price >= 0),
	yearly_price numeric(14,2) NOT NULL CHECK (yearly_price >= 0),
	currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	features jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(features) = 'object'),
	limits jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(limits) = 'object'),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE {schema}.subscriptions
	ADD FOREIGN KEY (edition_id) REFERENCES {schema}.editions (edition_id);
$ddl$),

('generated_saas', 11, 'invoices',
 ARRAY['Subscription & Billing'], false,
$json${
	"part_of": "subscriptions",
	"kind": "table",
	"relation": "{schema}.invoices",
	"scope": "tenant",
	"keys": [["invoice_id"], ["subscription_id"], ["invoice_number"]]
}$json$,
$ddl$
CREATE TABLE {schema}.invoices (
	tenant_id uuid NOT NULL,
	invoice_id uuid NOT NULL DEFAULT gen_random_uuid(),
	subscription_id uuid NOT NULL,
	invoice_number text,
	status text NOT NULL DEFAULT 'draft'
		CHECK (status IN ('draft', 'open', 'paid', 'void', 'uncollectible')),
	currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	lines jsonb NOT NULL DEFAULT '[]'
		CHECK (jsonb_typeof(lines) = 'array'),
	net_amount numeric(14,2) NOT NULL,
	tax_amount numeric(14,2) NOT NULL DEFAULT 0,
	total_amount numeric(14,2) GENERATED ALWAYS AS (net_amount + tax_amount) STORED,
	document_ref steward.blob_ref,
	period_start timestamptz NOT NULL,
	period_end timestamptz NOT NULL,
	issued_at timestamptz,
	due_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, invoice_id),
	UNIQUE (tenant_id, invoice_number),
	FOREIGN KEY (tenant_id, subscription_id) REFERENCES {schema}.subscriptions (tenant_id, subscription_id),
	CHECK (status = 'draft' OR (invoice_number IS NOT NULL AND issued_at IS NOT NULL))
);
CREATE INDEX ON {schema}.invoices (tenant_id, subscription_id);
CREATE INDEX ON {schema}.invoices (due_at)
	WHERE status = 'open';
$ddl$),

('generated_saas', 12, 'payments',
 ARRAY['Subscription & Billing'], false,
$json${
	"part_of": "subscriptions",
	"kind": "table",
	"relation": "{schema}.payments",
	"scope": "tenant",
	"keys": [["payment_id"], ["invoice_id"]]
}$json$,
$ddl$
CREATE TABLE {schema}.payments (
	tenant_id uuid NOT NULL,
	payment_id uuid NOT NULL DEFAULT gen_random_uuid(),
	invoice_id uuid NOT NULL,
	status text NOT NULL DEFAULT 'pending'
		CHECK (status IN ('pending', 'succeeded', 'failed', 'refunded')),
	amount numeric(14,2) NOT NULL CHECK (amount > 0),
	currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	external_payment_id text,
	failure_code text,
	created_at timestamptz NOT NULL DEFAULT now(),
	settled_at timestamptz,
	PRIMARY KEY (tenant_id, payment_id),
	FOREIGN KEY (tenant_id, invoice_id) REFERENCES {schema}.invoices (tenant_id, invoice_id)
);
CREATE INDEX ON {schema}.payments (tenant_id, invoice_id);
$ddl$),

('generated_saas', 13, 'feature_flags',
 ARRAY['Configuration Service'], false,
$json${
	"data": "Feature flags, configuration",
	"kind": "table",
	"relation": "{schema}.feature_flags",
	"scope": "tenant",
	"access": "Read-very-heavy",
	"keys": [["flag_key"]],
	"retention": {"until": "tenant_lifetime"},
	"notes": "Hot values cached in Redis",
	"words": {"store": "Azure SQL / PostgreSQL"}
}$json$,
$ddl$
CREATE TABLE {schema}.feature_flags (
	tenant_id uuid NOT NULL,
	flag_key text NOT NULL,
	enabled boolean NOT NULL DEFAULT false,
	variant text,
	rules jsonb NOT NULL DEFAULT '[]'
		CHECK (jsonb_typeof(rules) = 'array'),
	updated_by uuid,
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, flag_key)
);
$ddl$),

('generated_saas', 14, 'configuration_settings',
 ARRAY['Configuration Service'], false,
$json${
	"part_of": "feature_flags",
	"kind": "table",
	"relation": "{schema}.settings",
	"scope": "tenant",
	"keys": [["setting_key"]]
}$json$,
$ddl$
CREATE TABLE {schema}.settings (
	tenant_id uuid NOT NULL,
	setting_key text NOT NULL,
	value jsonb,
	value_ref steward.secret_ref,
	updated_by uuid,
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, setting_key),
	CHECK (value IS NULL OR value_ref IS NULL)
);
$ddl$),

('generated_saas', 15, 'orders',
 ARRAY['Order Service'], false,
$json${
	"data": "Domain data",
	"kind": "table",
	"relation": "{schema}.orders",
	"scope": "tenant",
	"access": "Mixed",
	"keys": [["order_id"], ["order_number"]],
	"retention": {"until": "tenant_lifetime"},
	"notes": "Product-specific schemas",
	"words": {
		"store": "Azure SQL / PostgreSQL",
		"owner_service": "Each domain microservice"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.orders (
	tenant_id uuid NOT NULL,
	order_id uuid NOT NULL DEFAULT gen_random_uuid(),
	order_number text NOT NULL,
	customer_id uuid NOT NULL,
	status text NOT NULL DEFAULT 'draft'
		CHECK (status IN ('draft', 'placed', 'shipped', 'completed', 'cancelled')),
	currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	total_amount numeric(14,2) NOT NULL DEFAULT 0 CHECK (total_amount >= 0),
	row_version integer NOT NULL DEFAULT 1,
	placed_at timestamptz,
	closed_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, order_id),
	UNIQUE (tenant_id, order_number)
);
CREATE INDEX ON {schema}.orders (tenant_id, customer_id);
$ddl$),

('generated_saas', 16, 'order_lines',
 ARRAY['Order Service'], false,
$json${
	"part_of": "orders",
	"kind": "table",
	"relation": "{schema}.order_lines",
	"scope": "tenant",
	"keys": [["order_id"]]
}$json$,
$ddl$
CREATE TABLE {schema}.order_lines (
	tenant_id uuid NOT NULL,
	order_id uuid NOT NULL,
	line_number integer NOT NULL CHECK (line_number > 0),
	product_id uuid NOT NULL,
	description text NOT NULL,
	quantity numeric(14,3) NOT NULL CHECK (quantity > 0),
	unit_price numeric(14,2) NOT NULL CHECK (unit_price >= 0),
	PRIMARY KEY (tenant_id, order_id, line_number),
	FOREIGN KEY (tenant_id, order_id) REFERENCES {schema}.orders (tenant_id, order_id)
);
$ddl$),

('generated_saas', 17, 'audit_entries',
 ARRAY['Audit Trail Service'], false,
$json${
	"data": "Audit entries",
	"kind": "table",
	"relation": "{schema}.audit_entries",
	"scope": "tenant",
	"append_only": true,
	"access": "Append + query",
	"keys": [["entry_id"], ["trace_id"], ["resource_type", "resource_id"]],
	"retention": {"clock": "occurred_at", "hot": "1 year", "then": "archive", "keep": "7 years"},
	"notes": "Exported to Blob archive",
	"words": {
		"store": "Append-only Azure SQL / PostgreSQL",
		"retention": "Long-term (e.g. 7 yr)"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.audit_entries (
	tenant_id uuid NOT NULL,
	entry_id uuid NOT NULL DEFAULT gen_random_uuid(),
	trace_id text NOT NULL,
	source_service text NOT NULL,
	actor_type text NOT NULL
		CHECK (actor_type IN ('user', 'service', 'agent', 'system')),
	actor_id text,
	action text NOT NULL,
	resource_type text NOT NULL,
	resource_id text,
	outcome text NOT NULL DEFAULT 'succeeded'
		CHECK (outcome IN ('succeeded', 'denied', 'failed')),
	changes jsonb,
	client_address inet,
	occurred_at timestamptz NOT NULL,
	recorded_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, entry_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX ON {schema}.audit_entries (tenant_id, trace_id);
CREATE INDEX ON {schema}.audit_entries (tenant_id, resource_type, resource_id, occurred_at DESC);
$ddl$),

('generated_saas', 18, 'notifications',
 ARRAY['Notification Service'], false,
$json${
	"data": "Notifications",
	"kind": "table",
	"relation": "{schema}.notifications",
	"scope": "tenant",
	"access": "Write + delivery state",
	"keys": [["notification_id"], ["recipient_id"]],
	"retention": {"clock": "created_at", "hot": "90 days", "then": "archive", "keep": "2 years"},
	"notes": "Large bodies/attachments in Blob",
	"words": {"store": "Azure SQL / PostgreSQL + Blob"}
}$json$,
$ddl$
CREATE TABLE {schema}.notifications (
	tenant_id uuid NOT NULL,
	notification_id uuid NOT NULL DEFAULT gen_random_uuid(),
	recipient_id uuid NOT NULL,
	channel text NOT NULL
		CHECK (channel IN ('email', 'sms', 'push', 'in_app')),
	template_key text,
	subject text,
	body text,
	body_ref steward.blob_ref,
	status text NOT NULL DEFAULT 'queued'
		CHECK (status IN ('queued', 'sending', 'sent', 'delivered', 'failed', 'cancelled')),
	attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	next_attempt_at timestamptz,
	error_code text,
	trace_id text,
	created_at timestamptz NOT NULL DEFAULT now(),
	sent_at timestamptz,
	delivered_at timestamptz,
	read_at timestamptz,
	PRIMARY KEY (tenant_id, notification_id, created_at),
	CHECK (body IS NULL OR body_ref IS NULL)
) PARTITION BY RANGE (created_at);
CREATE INDEX ON {schema}.notifications (tenant_id, recipient_id, created_at DESC);
CREATE INDEX ON {schema}.notifications (next_attempt_at)
	WHERE status IN ('queued', 'sending');
$ddl$),

('generated_saas', 19, 'notification_files',
 ARRAY['Notification Service'], false,
$json${
	"part_of": "notifications",
	"kind": "table",
	"relation": "{schema}.notification_files",
	"scope": "tenant",
	"keys": [["notification_id"]],
	"retention": {"clock": "created_at", "hot": "90 days", "then": "archive", "keep": "2 years"}
}$json$,
$ddl$
CREATE TABLE {schema}.notification_files (
	tenant_id uuid NOT NULL,
	notification_id uuid NOT NULL,
	file_number integer NOT NULL CHECK (file_number > 0),
	file_name text NOT NULL,
	content_type text NOT NULL,
	size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
	content_ref steward.blob_ref NOT NULL,
	content_digest steward.fingerprint,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, notification_id, file_number, created_at)
) PARTITION BY RANGE (created_at);
$ddl$),

('generated_saas', 20, 'product_integration_connections',
 ARRAY['Integration Service'], false,
$json${
	"data": "Integration connections",
	"kind": "table",
	"relation": "{schema}.connections",
	"scope": "tenant",
	"access": "Mixed",
	"keys": [["connection_id"]],
	"retention": {"until": "tenant_lifetime"},
	"notes": "Secrets as Key Vault references only",
	"words": {"store": "Azure SQL / PostgreSQL"}
}$json$,
$ddl$
CREATE TABLE {schema}.connections (
	tenant_id uuid NOT NULL,
	connection_id uuid NOT NULL DEFAULT gen_random_uuid(),
	provider text NOT NULL,
	name text NOT NULL,
	status text NOT NULL DEFAULT 'pending'
		CHECK (status IN ('pending', 'active', 'suspended', 'failed', 'removed')),
	configuration jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(configuration) = 'object'),
	credential_ref steward.secret_ref,
	credential_fingerprint steward.fingerprint,
	signing_secret_ref steward.secret_ref,
	last_synced_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, connection_id)
);
CREATE UNIQUE INDEX ON {schema}.connections (tenant_id, provider, name)
	WHERE status <> 'removed';
$ddl$),

('generated_saas', 21, 'report_definitions',
 ARRAY['Reporting & Analytics'], false,
$json${
	"data": "Report definitions, runs",
	"kind": "table",
	"relation": "{schema}.report_definitions",
	"scope": "tenant",
	"access": "Mixed",
	"keys": [["report_id"]],
	"retention": {"until": "tenant_lifetime"},
	"notes": "Generated artifacts in Blob",
	"words": {"store": "Azure SQL / PostgreSQL"}
}$json$,
$ddl$
CREATE TABLE {schema}.report_definitions (
	tenant_id uuid NOT NULL,
	report_id uuid NOT NULL DEFAULT gen_random_uuid(),
	name text NOT NULL,
	definition jsonb NOT NULL CHECK (jsonb_typeof(definition) = 'object'),
	format text NOT NULL DEFAULT 'pdf'
		CHECK (format IN ('pdf', 'xlsx', 'csv', 'json', 'parquet')),
	schedule text,
	enabled boolean NOT NULL DEFAULT true,
	created_by uuid,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, report_id),
	UNIQUE (tenant_id, name)
);
$ddl$),

('generated_saas', 22, 'report_runs',
 ARRAY['Reporting & Analytics'], false,
$json${
	"part_of": "report_definitions",
	"kind": "table",
	"relation": "{schema}.report_runs",
	"scope": "tenant",
	"keys": [["report_run_id"], ["report_id"]]
}$json$,
$ddl$
CREATE TABLE {schema}.report_runs (
	tenant_id uuid NOT NULL,
	report_run_id uuid NOT NULL DEFAULT gen_random_uuid(),
	report_id uuid NOT NULL,
	status text NOT NULL DEFAULT 'queued'
		CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
	parameters jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(parameters) = 'object'),
	requested_by uuid,
	row_count bigint CHECK (row_count >= 0),
	artifact_ref steward.blob_ref,
	artifact_digest steward.fingerprint,
	artifact_expires_at timestamptz,
	error_code text,
	trace_id text,
	requested_at timestamptz NOT NULL DEFAULT now(),
	started_at timestamptz,
	finished_at timestamptz,
	PRIMARY KEY (tenant_id, report_run_id),
	FOREIGN KEY (tenant_id, report_id) REFERENCES {schema}.report_definitions (tenant_id, report_id)
);
CREATE INDEX ON {schema}.report_runs (tenant_id, report_id, requested_at DESC);
$ddl$),

('generated_saas', 23, 'report_artifacts',
 ARRAY['Reporting & Analytics'], false,
$json${
	"data": "Report / export artifacts",
	"kind": "blob",
	"location": "https://{account}.blob.core.windows.net/{tenant_id}-reports",
	"scope": "tenant",
	"write_once": true,
	"access": "Write-once, read-many",
	"retention": {"hot": "1 year", "then": "purge"},
	"notes": "Lifecycle policy enforced",
	"words": {
		"store": "Blob Storage",
		"retention": "Configurable (e.g. 1 yr)"
	}
}$json$,
NULL),

('generated_saas', 24, 'audit_archive',
 ARRAY['Audit Trail Service'], false,
$json${
	"data": "Audit archive",
	"kind": "blob",
	"location": "https://{account}.blob.core.windows.net/{tenant_id}-audit",
	"scope": "tenant",
	"write_once": true,
	"access": "Write-once",
	"retention": {"hot": "7 years", "then": "purge"},
	"notes": "Immutable/WORM container",
	"words": {
		"store": "Blob Storage (immutable)",
		"retention": "Long-term"
	}
}$json$,
NULL),

('generated_saas', 25, 'notification_attachments',
 ARRAY['Notification Service'], false,
$json${
	"data": "Notification attachments",
	"kind": "blob",
	"location": "https://{account}.blob.core.windows.net/{tenant_id}-notifications",
	"scope": "tenant",
	"write_once": true,
	"access": "Write-once, read-many",
	"retention": {"hot": "90 days", "then": "archive", "keep": "2 years"},
	"notes": "{dash}",
	"words": {
		"store": "Blob Storage",
		"retention": "90 days then archive"
	}
}$json$,
NULL),

('generated_saas', 26, 'session_cache',
 ARRAY['API Gateway', 'Configuration Service', 'Identity Service'], false,
$json${
	"data": "Session / hot read cache",
	"kind": "cache",
	"location": "redis://{cache}/{tenant_id}:{service}:{key}",
	"scope": "tenant",
	"access": "Low-latency read/write",
	"retention": {"ttl": "00:20:00"},
	"notes": "Cache keys prefixed by tenantId",
	"words": {
		"store": "Redis",
		"owner_service": "API Gateway, Configuration, Identity",
		"retention": "Ephemeral / TTL"
	}
}$json$,
NULL),

('generated_saas', 27, 'rate_limit_counters',
 ARRAY['API Gateway'], false,
$json${
	"data": "Rate-limit counters",
	"kind": "cache",
	"location": "redis://{cache}/{tenant_id}:rate_limit:{route}",
	"scope": "tenant",
	"access": "High-frequency increment",
	"retention": {"ttl": "00:01:00"},
	"notes": "Per-tenant + per-route limits",
	"words": {
		"store": "Redis",
		"retention": "Sliding window TTL"
	}
}$json$,
NULL),

('generated_saas', 28, 'outbox_messages',
 ARRAY['Tenant Management', 'Identity Service', 'Authorization Server', 'Subscription & Billing',
	   'Configuration Service', 'Order Service', 'Notification Service', 'Integration Service',
	   'Reporting & Analytics'], false,
$json${
	"data": "Outbox messages",
	"kind": "table",
	"relation": "{schema}.outbox_messages",
	"scope": "tenant",
	"access": "Write + drain",
	"keys": [["message_id"]],
	"retention": {"until": "published", "clock": "published_at"},
	"notes": "Drained by OutboxWorker",
	"words": {
		"store": "Azure SQL / PostgreSQL (per service)",
		"owner_service": "Each publishing service"
	}
}$json$,
$ddl$
CREATE TABLE {schema}.outbox_messages (
	tenant_id uuid NOT NULL,
	message_id uuid NOT NULL DEFAULT gen_random_uuid(),
	sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
	message_type text NOT NULL,
	aggregate_type text,
	aggregate_id text,
	payload jsonb NOT NULL,
	headers jsonb NOT NULL DEFAULT '{}'
		CHECK (jsonb_typeof(headers) = 'object'),
	trace_id text NOT NULL,
	attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	occurred_at timestamptz NOT NULL DEFAULT now(),
	published_at timestamptz,
	PRIMARY KEY (tenant_id, message_id)
);
CREATE INDEX ON {schema}.outbox_messages (sequence)
	WHERE published_at IS NULL;
CREATE INDEX ON {schema}.outbox_messages (published_at)
	WHERE published_at IS NOT NULL;
$ddl$),

('generated_saas', 29, 'service_secrets',
 ARRAY['Configuration Service'], false,
$json${
	"data": "Secrets & connection strings",
	"kind": "secret",
	"location": "https://{vault}.vault.azure.net/secrets/{tenant_id}-{name}",
	"scope": "tenant",
	"access": "Read on startup / rotation",
	"retention": {"until": "rotated"},
	"notes": "Referenced via SecretReference, never stored elsewhere",
	"words": {
		"store": "Key Vault",
		"owner_service": "All services (read)"
	}
}$json$,
NULL);

-- The dash of both maps, where the database's encoding has it.  (The script is ASCII,
-- so that it can be run in every encoding.)
DO $$
DECLARE
    dash text := '-';
BEGIN
    IF pg_catalog.getdatabaseencoding() = 'UTF8' THEN
        dash := pg_catalog.chr(8212);
    END IF;
    UPDATE steward.template_store
       SET store = pg_catalog.replace(store::text, '{dash}', dash)::jsonb
     WHERE pg_catalog.strpos(store ->> 'notes', '{dash}') > 0;
END
$$;
