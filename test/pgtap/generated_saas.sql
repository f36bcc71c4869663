-- generated_saas.sql
--	  Conformance with the storage map of a generated SaaS product: a group of
--	  tests for each of its rows, then one for each rule below it.  What is not
--	  enforced yet is a todo test in the rule's own words.

\ir ../lib/conformance.sql
SELECT * FROM no_plan();
SELECT conform.install('generated_saas');

\set vault 'https://acme.vault.azure.net/secrets/'
\set blob 'https://acme.blob.core.windows.net/'

-- ===========================================================================
-- The map
-- ===========================================================================

SELECT is((SELECT count(*)::int FROM steward.storage_map), 17, 'Storage map: has 17 rows');

-- ---- Tenant registry ---------------------------------------------------------

SELECT * FROM conform.row_is('Tenant registry', 'Azure SQL / PostgreSQL', 'Tenant Management', 'Read-heavy lookups, low write', 'Tenant lifetime', 'Source of the tenantId discriminator');
SELECT * FROM conform.tenant_store('Tenant registry', 'tenant_management.tenants', 'tenant_management', 'order_service',
	jsonb_build_object('slug', 'tenant-{tenant}', 'name', 'Acme {tenant}'));
SELECT conform.key_is_indexed('Tenant registry', 'tenant_management.tenants', 'tenant_id');
SELECT is_empty($$SELECT s.name, a.atttypid::regtype FROM steward.store s JOIN pg_attribute a ON a.attrelid = s.relation AND a.attname = s.tenant
				   WHERE a.atttypid <> (SELECT atttypid FROM pg_attribute WHERE attrelid = 'tenant_management.tenants'::regclass AND attname = 'tenant_id')$$,
	'Tenant registry: Source of the tenantId discriminator: every store holds it in the registry''s type');
SELECT conform.retention('Tenant registry', 'tenant_registry', 'tenant_management', 'purge', '1 second', '-1 day', 'Tenant lifetime');

-- ---- Users, roles, permissions -----------------------------------------------

SELECT * FROM conform.row_is('Users, roles, permissions', 'Azure SQL / PostgreSQL', 'Identity Service', 'Read-heavy (authz), moderate write', 'Tenant lifetime', 'Permissions are a platform-level catalog');
SELECT * FROM conform.tenant_store('Users, roles, permissions', 'identity_service.users', 'identity_service', 'configuration_service',
	jsonb_build_object('user_id', conform.id(1), 'email', 'ann@example.com', 'display_name', 'Ann'));
SELECT * FROM conform.tenant_store('Users, roles, permissions', 'identity_service.roles', 'identity_service', 'configuration_service',
	jsonb_build_object('role_id', conform.id(1), 'name', 'admin'));
SELECT * FROM conform.global_store('Users, roles, permissions', 'identity_service.permissions', 'identity_service', 'configuration_service',
	jsonb_build_object('permission_id', 'orders.read', 'description', 'Read orders'));
SELECT * FROM conform.tenant_store('Users, roles, permissions', 'identity_service.role_permissions', 'identity_service', 'configuration_service',
	jsonb_build_object('role_id', conform.id(1), 'permission_id', 'orders.read'));
SELECT * FROM conform.tenant_store('Users, roles, permissions', 'identity_service.user_roles', 'identity_service', 'configuration_service',
	jsonb_build_object('user_id', conform.id(1), 'role_id', conform.id(1)));
SELECT conform.key_is_indexed('Users, roles, permissions', 'identity_service.users', 'tenant_id', 'user_id');
SELECT conform.key_is_indexed('Users, roles, permissions', 'identity_service.users', 'tenant_id', 'email');
SELECT conform.key_is_indexed('Users, roles, permissions', 'identity_service.roles', 'tenant_id', 'role_id');
SELECT conform.key_is_indexed('Users, roles, permissions', 'identity_service.role_permissions', 'tenant_id', 'role_id');
SELECT conform.key_is_indexed('Users, roles, permissions', 'identity_service.user_roles', 'tenant_id', 'user_id');
SELECT conform.key_is_indexed('Users, roles, permissions', 'identity_service.user_roles', 'tenant_id', 'role_id');
SELECT is((SELECT scope FROM steward.store WHERE name = 'permissions'), 'global',
	'Users, roles, permissions: Permissions are a platform-level catalog');
SELECT conform.tenant_retention('Users, roles, permissions', 'users', '1 second', '-1 day', 'Tenant lifetime');

-- ---- OpenIddict tokens/clients -----------------------------------------------

SELECT * FROM conform.row_is('OpenIddict tokens/clients', 'Azure SQL / PostgreSQL', 'Authorization Server', 'High read on validation', 'Token lifetime', 'Refresh/auth-code records pruned on expiry');
SELECT * FROM conform.tenant_store('OpenIddict tokens/clients', 'authorization_server.openiddict_clients', 'authorization_server', 'identity_service',
	jsonb_build_object('client_id', 'web', 'client_type', 'confidential'));
SELECT * FROM conform.tenant_store('OpenIddict tokens/clients', 'authorization_server.openiddict_tokens', 'authorization_server', 'identity_service',
	jsonb_build_object('token_id', conform.id(1), 'client_id', 'web', 'token_type', 'refresh_token', 'expires_at', now() + interval '1 hour'));
SELECT * FROM conform.references_only('OpenIddict tokens/clients', 'authorization_server.openiddict_clients', 'authorization_server', 'client_secret_ref secret_ref', 'client_secret_fingerprint fingerprint');
SELECT * FROM conform.references_only('OpenIddict tokens/clients', 'authorization_server.openiddict_tokens', 'authorization_server', 'reference_digest fingerprint');
SELECT conform.key_is_indexed('OpenIddict tokens/clients', 'authorization_server.openiddict_tokens', 'tenant_id', 'token_id');
SELECT conform.key_is_indexed('OpenIddict tokens/clients', 'authorization_server.openiddict_tokens', 'tenant_id', 'reference_digest');
SELECT conform.key_is_indexed('OpenIddict tokens/clients', 'authorization_server.openiddict_clients', 'tenant_id', 'client_id');
SELECT is((SELECT retention ->> 'until' FROM steward.store WHERE name = 'openiddict_tokens'), 'expired', 'OpenIddict tokens/clients: Token lifetime (declared)');
SELECT is_empty($$SELECT attname FROM pg_attribute WHERE attrelid = 'authorization_server.openiddict_tokens'::regclass AND attname ~ 'payload|value|secret'$$,
	'OpenIddict tokens/clients: no column holds a token itself');
SELECT conform.retention('OpenIddict tokens/clients', 'openiddict_tokens', 'authorization_server', 'purge', '1 second', '-1 hour', 'Refresh/auth-code records pruned on expiry');

-- ---- Subscriptions, editions, billing ----------------------------------------

SELECT * FROM conform.row_is('Subscriptions, editions, billing', 'Azure SQL / PostgreSQL', 'Subscription & Billing', 'Transactional', 'Tenant lifetime + financial retention', 'Editions are a platform-level catalog');
SELECT * FROM conform.global_store('Subscriptions, editions, billing', 'subscription_billing.editions', 'subscription_billing', 'tenant_management',
	jsonb_build_object('edition_id', 'pro', 'name', 'Pro', 'monthly_price', 10, 'yearly_price', 100, 'currency', 'EUR'));
SELECT * FROM conform.tenant_store('Subscriptions, editions, billing', 'subscription_billing.subscriptions', 'subscription_billing', 'tenant_management',
	jsonb_build_object('subscription_id', conform.id(1), 'edition_id', 'pro', 'unit_price', 10, 'currency', 'EUR', 'current_period_end', now() + interval '1 month'));
SELECT * FROM conform.tenant_store('Subscriptions, editions, billing', 'subscription_billing.invoices', 'subscription_billing', 'tenant_management',
	jsonb_build_object('invoice_id', conform.id(1), 'subscription_id', conform.id(1), 'currency', 'EUR', 'net_amount', 10, 'period_start', now(), 'period_end', now()));
SELECT * FROM conform.tenant_store('Subscriptions, editions, billing', 'subscription_billing.payments', 'subscription_billing', 'tenant_management',
	jsonb_build_object('payment_id', conform.id(1), 'invoice_id', conform.id(1), 'amount', 10, 'currency', 'EUR'));
SELECT * FROM conform.references_only('Subscriptions, editions, billing', 'subscription_billing.invoices', 'subscription_billing', 'document_ref blob_ref');
SELECT conform.key_is_indexed('Subscriptions, editions, billing', 'subscription_billing.subscriptions', 'tenant_id', 'subscription_id');
SELECT conform.key_is_indexed('Subscriptions, editions, billing', 'subscription_billing.invoices', 'tenant_id', 'invoice_id');
SELECT conform.key_is_indexed('Subscriptions, editions, billing', 'subscription_billing.invoices', 'tenant_id', 'subscription_id');
SELECT conform.key_is_indexed('Subscriptions, editions, billing', 'subscription_billing.invoices', 'tenant_id', 'invoice_number');
SELECT conform.key_is_indexed('Subscriptions, editions, billing', 'subscription_billing.payments', 'tenant_id', 'payment_id');
SELECT conform.key_is_indexed('Subscriptions, editions, billing', 'subscription_billing.payments', 'tenant_id', 'invoice_id');
SELECT is((SELECT scope FROM steward.store WHERE name = 'editions'), 'global',
	'Subscriptions, editions, billing: Editions are a platform-level catalog');
SELECT is(conform.attempt('conform_subscription_billing', conform.a(), $$INSERT INTO subscription_billing.payments (tenant_id, invoice_id, amount, currency)
		VALUES ({a}, conform.id(9)::uuid, 10, 'EUR')$$), 'refused 23503 payments_tenant_id_invoice_id_fkey',
	'Subscriptions, editions, billing: Transactional: a payment has an invoice, of the same tenant');
SELECT conform.tenant_retention('Subscriptions, editions, billing', 'subscriptions', '8 years', '6 years', 'Tenant lifetime + financial retention');

-- ---- Feature flags, configuration --------------------------------------------

SELECT * FROM conform.row_is('Feature flags, configuration', 'Azure SQL / PostgreSQL', 'Configuration Service', 'Read-very-heavy', 'Tenant lifetime', 'Hot values cached in Redis');
SELECT * FROM conform.tenant_store('Feature flags, configuration', 'configuration_service.feature_flags', 'configuration_service', 'api_gateway',
	jsonb_build_object('flag_key', 'dark'));
SELECT * FROM conform.tenant_store('Feature flags, configuration', 'configuration_service.settings', 'configuration_service', 'api_gateway',
	jsonb_build_object('setting_key', 'theme'));
SELECT * FROM conform.references_only('Feature flags, configuration', 'configuration_service.settings', 'configuration_service', 'value_ref secret_ref');
SELECT conform.key_is_indexed('Feature flags, configuration', 'configuration_service.feature_flags', 'tenant_id', 'flag_key');
SELECT conform.key_is_indexed('Feature flags, configuration', 'configuration_service.settings', 'tenant_id', 'setting_key');
SELECT is(conform.attempt('conform_configuration_service', conform.a(), format('UPDATE configuration_service.settings SET value = ''1'', value_ref = %L', :'vault' || 'x')),
	'refused 23514 settings_check', 'Feature flags, configuration: a setting is a value or a reference, never both');
SELECT conform.tenant_retention('Feature flags, configuration', 'feature_flags', '1 second', '-1 day', 'Tenant lifetime');

-- ---- Domain data -------------------------------------------------------------

SELECT * FROM conform.row_is('Domain data', 'Azure SQL / PostgreSQL', 'Each domain microservice', 'Mixed', 'Tenant lifetime', 'Product-specific schemas');
SELECT * FROM conform.tenant_store('Domain data', 'order_service.orders', 'order_service', 'reporting_analytics',
	jsonb_build_object('order_id', conform.id(1), 'order_number', '1', 'customer_id', conform.id(2), 'currency', 'EUR'));
SELECT * FROM conform.tenant_store('Domain data', 'order_service.order_lines', 'order_service', 'reporting_analytics',
	jsonb_build_object('order_id', conform.id(1), 'line_number', 1, 'product_id', conform.id(3), 'description', 'Tea', 'quantity', 1, 'unit_price', 1));
SELECT conform.key_is_indexed('Domain data', 'order_service.orders', 'tenant_id', 'order_id');
SELECT conform.key_is_indexed('Domain data', 'order_service.orders', 'tenant_id', 'order_number');
SELECT conform.key_is_indexed('Domain data', 'order_service.order_lines', 'tenant_id', 'order_id');
SELECT is_empty($$SELECT s.relation FROM steward.store s JOIN pg_class c ON c.oid = s.relation JOIN steward.service v ON v.name = s.owner
				   WHERE c.relnamespace::regnamespace::text <> v.role::text$$, 'Domain data: Product-specific schemas: each service has its own');
SELECT conform.tenant_retention('Domain data', 'orders', '1 second', '-1 day', 'Tenant lifetime');

-- ---- Audit entries -----------------------------------------------------------

SELECT * FROM conform.row_is('Audit entries', 'Append-only Azure SQL / PostgreSQL', 'Audit Trail Service', 'Append + query', 'Long-term (e.g. 7 yr)', 'Exported to Blob archive');
SELECT * FROM conform.tenant_store('Audit entries', 'audit_trail_service.audit_entries', 'audit_trail_service', 'reporting_analytics',
	jsonb_build_object('entry_id', conform.id(1), 'trace_id', 't1', 'source_service', 'Order Service', 'actor_type', 'user', 'action', 'order.place', 'resource_type', 'order', 'occurred_at', now()), true);
SELECT conform.attack('conform_audit_trail_service', conform.a(), 'audit_trail_service.audit_entries', $$UPDATE {t} SET outcome = 'denied' WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_append_only',
	'Audit entries: Append-only: not changed by its owner');
SELECT conform.attack('conform_audit_trail_service', conform.a(), 'audit_trail_service.audit_entries', $$DELETE FROM {t} WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_append_only',
	'Audit entries: Append-only: not deleted from by its owner');
SELECT conform.attack('conform_audit_trail_service', conform.a(), 'audit_trail_service.audit_entries', $$TRUNCATE {t}$$, 'does 0', 'refused 42501 steward_append_only',
	'Audit entries: Append-only: not truncated by its owner');
SELECT conform.attack('conform_worker', conform.a(), 'audit_trail_service.audit_entries', $$UPDATE {t} SET outcome = 'denied' WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not changed by a cross-tenant worker');
SELECT conform.attack('conform_worker', conform.a(), 'audit_trail_service.audit_entries', $$DELETE FROM {t} WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not deleted from by a cross-tenant worker');
SELECT conform.attack('conform_worker', conform.a(), 'audit_trail_service.audit_entries', $$TRUNCATE {t}$$, 'does 0', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not truncated by a cross-tenant worker');
SELECT conform.attack(current_user, conform.a(), 'audit_trail_service.audit_entries', $$UPDATE {t} SET outcome = 'denied' WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not changed by a superuser');
SELECT conform.attack(current_user, conform.a(), 'audit_trail_service.audit_entries', $$DELETE FROM {t} WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not deleted from by a superuser');
SELECT conform.attack(current_user, conform.a(), 'audit_trail_service.audit_entries', $$TRUNCATE {t}$$, 'does 0', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not truncated by a superuser');
SELECT conform.attack('steward_pipeline', conform.a(), 'audit_trail_service.audit_entries', $$UPDATE {t} SET outcome = 'denied' WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not changed by the owner of the table');
SELECT conform.attack('steward_pipeline', conform.a(), 'audit_trail_service.audit_entries', $$DELETE FROM {t} WHERE tenant_id = {a}$$, 'does 1', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not deleted from by the owner of the table');
SELECT conform.attack('steward_pipeline', conform.a(), 'audit_trail_service.audit_entries', $$TRUNCATE {t}$$, 'does 0', 'refused 42501 steward_owner',
	'Audit entries: Append-only: not truncated by the owner of the table');
SELECT is(conform.attempt('conform_audit_trail_service', conform.a(), format('UPDATE audit_trail_service.audit_entries_p%s SET outcome = ''denied''', to_char(now() AT TIME ZONE 'UTC', 'YYYYMM'))),
	'refused 42501 steward_append_only', 'Audit entries: Append-only: nor is a partition');
GRANT audit_trail_service TO conform_worker;
SELECT conform.attack('conform_worker', NULL, 'audit_trail_service.audit_entries', 'DELETE FROM {t}', 'does 2', 'refused 42501 steward_append_only',
	'Audit entries: Append-only: nor for a cross-tenant worker of the owner');
REVOKE audit_trail_service FROM conform_worker;
SELECT conform.key_is_indexed('Audit entries', 'audit_trail_service.audit_entries', 'tenant_id', 'entry_id');
SELECT conform.key_is_indexed('Audit entries', 'audit_trail_service.audit_entries', 'tenant_id', 'trace_id');
SELECT conform.key_is_indexed('Audit entries', 'audit_trail_service.audit_entries', 'tenant_id', 'resource_type', 'resource_id');
SELECT conform.partitioned_by('Audit entries', 'audit_trail_service.audit_entries', 'occurred_at');
SELECT conform.retention('Audit entries', 'audit_entries', 'audit_trail_service', 'archive', '14 months', '11 months', 'Long-term (e.g. 7 yr)');
SELECT todo('nothing is archived yet', 1);
SELECT has_view('steward', 'archive', 'Audit entries: Exported to Blob archive');

-- ---- Notifications -----------------------------------------------------------

SELECT * FROM conform.row_is('Notifications', 'Azure SQL / PostgreSQL + Blob', 'Notification Service', 'Write + delivery state', '90 days hot, then archive', 'Large bodies/attachments in Blob');
SELECT * FROM conform.tenant_store('Notifications', 'notification_service.notifications', 'notification_service', 'api_gateway',
	jsonb_build_object('notification_id', conform.id(1), 'recipient_id', conform.id(1), 'channel', 'email', 'body', 'Hello'));
SELECT * FROM conform.tenant_store('Notifications', 'notification_service.notification_files', 'notification_service', 'api_gateway',
	jsonb_build_object('notification_id', conform.id(1), 'file_number', 1, 'file_name', 'a.pdf', 'content_type', 'application/pdf', 'size_bytes', 1, 'content_ref', :'blob' || '{tenant}-notifications/a.pdf'));
SELECT * FROM conform.references_only('Notifications', 'notification_service.notifications', 'notification_service', 'body_ref blob_ref');
SELECT * FROM conform.references_only('Notifications', 'notification_service.notification_files', 'notification_service', 'content_ref blob_ref', 'content_digest fingerprint');
SELECT conform.key_is_indexed('Notifications', 'notification_service.notifications', 'tenant_id', 'notification_id');
SELECT conform.key_is_indexed('Notifications', 'notification_service.notifications', 'tenant_id', 'recipient_id');
SELECT conform.key_is_indexed('Notifications', 'notification_service.notification_files', 'tenant_id', 'notification_id');
SELECT conform.partitioned_by('Notifications', 'notification_service.notifications', 'created_at');
SELECT conform.partitioned_by('Notifications', 'notification_service.notification_files', 'created_at');
SELECT is(conform.attempt('conform_notification_service', conform.a(), $$UPDATE notification_service.notifications SET status = 'sent', sent_at = now()$$), 'does 1',
	'Notifications: Write + delivery state');
SELECT is(conform.attempt('conform_notification_service', conform.a(), format('UPDATE notification_service.notifications SET body_ref = %L', :'blob' || 'a-notifications/1')),
	'refused 23514 notifications_check', 'Notifications: Large bodies/attachments in Blob: a body is here or there, never both');
SELECT conform.retention('Notifications', 'notifications', 'notification_service', 'archive', '8 months', '80 days', '90 days hot, then archive');

-- ---- Integration connections -------------------------------------------------

SELECT * FROM conform.row_is('Integration connections', 'Azure SQL / PostgreSQL', 'Integration Service', 'Mixed', 'Tenant lifetime', 'Secrets as Key Vault references only');
SELECT * FROM conform.tenant_store('Integration connections', 'integration_service.connections', 'integration_service', 'order_service',
	jsonb_build_object('connection_id', conform.id(1), 'provider', 'github', 'name', 'main'));
SELECT * FROM conform.references_only('Integration connections', 'integration_service.connections', 'integration_service', 'credential_ref secret_ref', 'credential_fingerprint fingerprint', 'signing_secret_ref secret_ref');
SELECT conform.key_is_indexed('Integration connections', 'integration_service.connections', 'tenant_id', 'connection_id');
SELECT todo('plaintext is not looked for yet', 1);
SELECT is(conform.attempt('conform_integration_service', conform.a(), format('UPDATE integration_service.connections SET configuration = %L',
		jsonb_build_object('client_secret', md5('1')))), 'refused 23514 steward_plaintext_free', 'Integration connections: Secrets as Key Vault references only');
SELECT conform.tenant_retention('Integration connections', 'product_integration_connections', '1 second', '-1 day', 'Tenant lifetime');

-- ---- Report definitions, runs ------------------------------------------------

SELECT * FROM conform.row_is('Report definitions, runs', 'Azure SQL / PostgreSQL', 'Reporting & Analytics', 'Mixed', 'Tenant lifetime', 'Generated artifacts in Blob');
SELECT * FROM conform.tenant_store('Report definitions, runs', 'reporting_analytics.report_definitions', 'reporting_analytics', 'order_service',
	jsonb_build_object('report_id', conform.id(1), 'name', 'Sales', 'definition', '{}'::jsonb));
SELECT * FROM conform.tenant_store('Report definitions, runs', 'reporting_analytics.report_runs', 'reporting_analytics', 'order_service',
	jsonb_build_object('report_run_id', conform.id(1), 'report_id', conform.id(1)));
SELECT * FROM conform.references_only('Report definitions, runs', 'reporting_analytics.report_runs', 'reporting_analytics', 'artifact_ref blob_ref', 'artifact_digest fingerprint');
SELECT conform.key_is_indexed('Report definitions, runs', 'reporting_analytics.report_definitions', 'tenant_id', 'report_id');
SELECT conform.key_is_indexed('Report definitions, runs', 'reporting_analytics.report_runs', 'tenant_id', 'report_run_id');
SELECT conform.key_is_indexed('Report definitions, runs', 'reporting_analytics.report_runs', 'tenant_id', 'report_id');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute WHERE atttypid = 'bytea'::regtype AND attnum > 0
					 AND attrelid IN (SELECT relation FROM steward.store)$$, 'Report definitions, runs: Generated artifacts in Blob: no column of the map holds bytes');
SELECT conform.tenant_retention('Report definitions, runs', 'report_definitions', '1 second', '-1 day', 'Tenant lifetime');

-- ---- Report / export artifacts -----------------------------------------------

SELECT * FROM conform.row_is('Report / export artifacts', 'Blob Storage', 'Reporting & Analytics', 'Write-once, read-many', 'Configurable (e.g. 1 yr)', 'Lifecycle policy enforced');
SELECT * FROM conform.outside_store('Report / export artifacts', 'report_artifacts', 'blob', 'Reporting & Analytics', '.blob.core.windows.net/{tenant_id}-');
SELECT ok((SELECT write_once FROM steward.store WHERE name = 'report_artifacts'), 'Report / export artifacts: Write-once, read-many (declared)');
SELECT todo('blobs are not written by the worker yet', 1);
SELECT matches((SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint WHERE conrelid = 'steward.task'::regclass), 'blob',
	'Report / export artifacts: Write-once, read-many');
SELECT todo('blobs are not acted on yet', 2);
SELECT is(conform.attempt('postgres', NULL, $$SELECT count(*) > 0 FROM steward.due('report_artifacts')$$), 'sees true',
	'Report / export artifacts: Configurable (e.g. 1 yr)');
SELECT isnt_empty($$SELECT FROM steward.due() d JOIN steward.store s ON s.name = d.store WHERE s.kind = 'blob'$$,
	'Report / export artifacts: Lifecycle policy enforced');

-- ---- Audit archive -----------------------------------------------------------

SELECT * FROM conform.row_is('Audit archive', 'Blob Storage (immutable)', 'Audit Trail Service', 'Write-once', 'Long-term', 'Immutable/WORM container');
SELECT * FROM conform.outside_store('Audit archive', 'audit_archive', 'blob', 'Audit Trail Service', '.blob.core.windows.net/{tenant_id}-');
SELECT ok((SELECT write_once FROM steward.store WHERE name = 'audit_archive'), 'Audit archive: Write-once (declared)');
SELECT todo('containers are not made immutable yet', 1);
SELECT ok((SELECT to_jsonb(s) ? 'immutable' FROM steward.store s WHERE name = 'audit_archive'), 'Audit archive: Immutable/WORM container');
SELECT todo('nothing is archived yet', 1);
SELECT has_view('steward', 'archive', 'Audit archive: Long-term');

-- ---- Notification attachments ------------------------------------------------

SELECT * FROM conform.row_is('Notification attachments', 'Blob Storage', 'Notification Service', 'Write-once, read-many', '90 days then archive', '—');
SELECT * FROM conform.outside_store('Notification attachments', 'notification_attachments', 'blob', 'Notification Service', '.blob.core.windows.net/{tenant_id}-');
SELECT ok((SELECT write_once FROM steward.store WHERE name = 'notification_attachments'), 'Notification attachments: Write-once, read-many (declared)');
SELECT todo('blobs are not acted on yet', 1);
SELECT is(conform.attempt('postgres', NULL, $$SELECT count(*) > 0 FROM steward.due('notification_attachments')$$), 'sees true',
	'Notification attachments: 90 days then archive');

-- ---- Session / hot read cache ------------------------------------------------

SELECT * FROM conform.row_is('Session / hot read cache', 'Redis', 'API Gateway, Configuration, Identity', 'Low-latency read/write', 'Ephemeral / TTL', 'Cache keys prefixed by tenantId');
SELECT * FROM conform.outside_store('Session / hot read cache', 'session_cache', 'cache', 'API Gateway', 'redis://{cache}/{tenant_id}:');
SELECT ok((SELECT retention ? 'ttl' FROM steward.store WHERE name = 'session_cache'), 'Session / hot read cache: Ephemeral / TTL');
SELECT todo('the map''s three owners are one owner and words', 1);
SELECT ok((SELECT to_jsonb(s) ? 'writers' FROM steward.store s WHERE name = 'session_cache'),
	'Session / hot read cache: API Gateway, Configuration, Identity');

-- ---- Rate-limit counters -----------------------------------------------------

SELECT * FROM conform.row_is('Rate-limit counters', 'Redis', 'API Gateway', 'High-frequency increment', 'Sliding window TTL', 'Per-tenant + per-route limits');
SELECT * FROM conform.outside_store('Rate-limit counters', 'rate_limit_counters', 'cache', 'API Gateway', 'redis://{cache}/{tenant_id}:rate_limit:{route}');
SELECT ok((SELECT retention ? 'ttl' FROM steward.store WHERE name = 'rate_limit_counters'), 'Rate-limit counters: Sliding window TTL');

-- ---- Outbox messages ---------------------------------------------------------

SELECT * FROM conform.row_is('Outbox messages', 'Azure SQL / PostgreSQL (per service)', 'Each publishing service', 'Write + drain', 'Until published', 'Drained by OutboxWorker');
SELECT set_eq($$SELECT relation::text FROM steward.store WHERE name LIKE 'outbox_messages%'$$, ARRAY[
	'tenant_management.outbox_messages', 'identity_service.outbox_messages', 'authorization_server.outbox_messages', 'subscription_billing.outbox_messages',
	'configuration_service.outbox_messages', 'order_service.outbox_messages', 'notification_service.outbox_messages', 'integration_service.outbox_messages', 'reporting_analytics.outbox_messages'],
	'Outbox messages: one in the database of each publishing service');
SELECT * FROM conform.tenant_store('Outbox messages', 'tenant_management.outbox_messages', 'tenant_management', 'identity_service',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'identity_service.outbox_messages', 'identity_service', 'authorization_server',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'authorization_server.outbox_messages', 'authorization_server', 'subscription_billing',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'subscription_billing.outbox_messages', 'subscription_billing', 'configuration_service',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'configuration_service.outbox_messages', 'configuration_service', 'order_service',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'order_service.outbox_messages', 'order_service', 'notification_service',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'notification_service.outbox_messages', 'notification_service', 'integration_service',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'integration_service.outbox_messages', 'integration_service', 'reporting_analytics',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT * FROM conform.tenant_store('Outbox messages', 'reporting_analytics.outbox_messages', 'reporting_analytics', 'tenant_management',
	jsonb_build_object('message_id', conform.id(1), 'message_type', 'order.placed', 'payload', '{}'::jsonb, 'trace_id', 't1'));
SELECT conform.key_is_indexed('Outbox messages', 'tenant_management.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'identity_service.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'authorization_server.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'subscription_billing.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'configuration_service.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'order_service.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'notification_service.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'integration_service.outbox_messages', 'tenant_id', 'message_id');
SELECT conform.key_is_indexed('Outbox messages', 'reporting_analytics.outbox_messages', 'tenant_id', 'message_id');
SELECT is(conform.attempt('conform_worker', NULL, 'SELECT count(*) FROM order_service.outbox_messages'), 'refused 42501 steward_owner',
	'Outbox messages: a cross-tenant worker that acts for no service drains nothing');
GRANT order_service TO conform_worker;
SELECT is(conform.attempt('conform_worker', NULL, 'UPDATE order_service.outbox_messages SET published_at = now() WHERE published_at IS NULL'), 'does 2',
	'Outbox messages: Drained by OutboxWorker, across tenants');
REVOKE order_service FROM conform_worker;
SELECT conform.retention('Outbox messages', 'outbox_messages', 'tenant_management', 'purge', '1 second', '-1 day', 'Until published');

-- ---- Secrets & connection strings --------------------------------------------

SELECT * FROM conform.row_is('Secrets & connection strings', 'Key Vault', 'All services (read)', 'Read on startup / rotation', 'Until rotated', 'Referenced via SecretReference, never stored elsewhere');
SELECT * FROM conform.outside_store('Secrets & connection strings', 'service_secrets', 'secret', 'Configuration Service', '.vault.azure.net/secrets/{tenant_id}-');
SELECT todo('plaintext is not looked for yet', 1);
SELECT is(conform.attempt('conform_configuration_service', conform.a(), format('UPDATE configuration_service.settings SET value = %L',
		to_jsonb('Server=db;User Id=sa;' || 'Pass' || 'word=' || md5('1')))), 'refused 23514 steward_plaintext_free',
	'Secrets & connection strings: Referenced via SecretReference, never stored elsewhere');
SELECT todo('Key Vault is not asked yet', 1);
SELECT has_view('steward', 'secret_status', 'Secrets & connection strings: Until rotated');

-- ===========================================================================
-- Store ownership rules
-- ===========================================================================

-- ---- Single owner --------------------------------------------------------------

CREATE TABLE conform.writer AS
	SELECT s.name AS store, s.owner, v.name AS service,
		   conform.attempt('conform_' || v.role, conform.a(), format('INSERT INTO %s SELECT WHERE false', conform.twin_of(s.relation))) AS on_twin,
		   conform.attempt('conform_' || v.role, conform.a(), format('INSERT INTO %s SELECT WHERE false', s.relation)) AS on_store,
		   conform.attempt('conform_' || v.role, conform.a(), format('SELECT count(*) > 0 FROM %s', s.relation)) AS reads, s.scope
	  FROM steward.store s CROSS JOIN steward.service v WHERE s.kind = 'table';
SELECT is_empty($$SELECT * FROM conform.writer WHERE on_twin <> 'does 0'$$, 'Single owner: ungoverned, every service writes every table');
SELECT results_eq($$SELECT store, service FROM conform.writer WHERE on_store = 'does 0' ORDER BY 1$$,
				  $$SELECT DISTINCT store, owner FROM conform.writer ORDER BY 1$$,
	'Single owner: Each store is owned by exactly one service');
SELECT is_empty($$SELECT * FROM conform.writer WHERE service <> owner AND on_store <> 'refused 42501 steward_owner'$$,
	'Single owner: everyone else is refused as not the owner');
SELECT is_empty($$SELECT * FROM conform.writer WHERE service <> owner AND scope = 'tenant' AND reads <> 'refused 42501 steward_owner'$$,
	'Single owner: other services obtain data through that service''s API or by subscribing to its events: they do not read it here');
SELECT is(conform.attempt('postgres', NULL, $$SELECT count(*) FROM steward.apply('{"stores": [{"name": "two", "kind": "cache", "owner": ["API Gateway", "Order Service"]}]}')$$), 'refused 22023',
	'Single owner: a manifest with two owners is refused');
SELECT is_empty($$SELECT rule, object FROM steward.check() WHERE object !~ '^(twin|conform)\.' AND rule <> 'no_scheduler'$$, 'Single owner: the installed map has no finding');

-- ---- Tenant scoping --------------------------------------------------------------

SELECT is_empty($$SELECT s.name FROM steward.store s WHERE s.kind = 'table' AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = s.relation AND a.attname = 'tenant_id')
				   AND (s.scope, s.tenant) IS DISTINCT FROM ('tenant', 'tenant_id')$$,
	'Tenant scoping: Every tenant-owned store enforces the tenantId discriminator');
CREATE TABLE conform.child (tenant_id uuid NOT NULL, order_id uuid NOT NULL, PRIMARY KEY (tenant_id, order_id));
INSERT INTO conform.child VALUES (conform.b()::uuid, conform.id(1)::uuid);
CREATE TABLE conform.parent (tenant_id uuid NOT NULL, order_id uuid PRIMARY KEY);
INSERT INTO conform.parent VALUES (conform.a()::uuid, conform.id(1)::uuid);
ALTER TABLE conform.child ADD CONSTRAINT child_fk FOREIGN KEY (order_id) REFERENCES conform.parent ON DELETE CASCADE;
GRANT ALL ON conform.parent, conform.child TO PUBLIC;
SELECT is(conform.attempt('conform_order_service', conform.a(), 'DELETE FROM conform.parent WHERE tenant_id = {a}'), 'does 1',
	'Tenant scoping: ungoverned, a cascade deletes another tenant''s row');
SELECT steward.govern(t, owner => 'Order Service', retention => '{"until": "lifetime"}')
  FROM unnest(ARRAY['conform.parent', 'conform.child']::regclass[]) t \g /dev/null
SELECT is(conform.attempt('conform_order_service', conform.a(), 'DELETE FROM conform.parent WHERE tenant_id = {a}'), 'refused 42501 steward_tenant',
	'Tenant scoping: a cascade stops at another tenant''s row');
SELECT results_eq($$SELECT object FROM steward.check() WHERE rule = 'foreign_key_without_tenant'$$, $$VALUES ('conform.child')$$,
	'Tenant scoping: a foreign key without the tenant is a finding');
DROP TABLE conform.child, conform.parent;
SELECT is(conform.attempt('conform_tenant_management', conform.a(), $$UPDATE tenant_management.tenants SET isolation = 'schema'$$), 'does 1',
	'Tenant scoping: (or schema/database-per-tenant): the registry says which');
SELECT todo('isolation by schema or database is declared only', 1);
SELECT has_function('steward', 'provision_tenant', 'Tenant scoping: (or schema/database-per-tenant)');

-- ---- No secrets outside Key Vault -------------------------------------------------

SELECT is_empty($$SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN steward.store s ON s.relation = a.attrelid
				   WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attname ~ 'secret|credential|password|signing'
					 AND a.atttypid NOT IN ('steward.secret_ref'::regtype, 'steward.fingerprint'::regtype)$$,
	'No secrets outside Key Vault: aggregates store SecretReference pointers');
SELECT todo('plaintext is not looked for yet', 2);
SELECT is(conform.attempt('conform_order_service', conform.a(), format('UPDATE order_service.outbox_messages SET payload = %L',
		jsonb_build_object('ConnectionString', 'Account' || 'Key=' || encode(sha256('1'), 'base64')))), 'refused 23514 steward_plaintext_free',
	'No secrets outside Key Vault: Connection strings, signing keys, and integration credentials live only in Key Vault');
SELECT has_function('steward', 'find_plaintext', ARRAY['text'], 'No secrets outside Key Vault: what lies there already is found');

-- ---- Cache is derived, never authoritative ----------------------------------------

SELECT is_empty($$SELECT name FROM steward.store WHERE kind = 'cache' AND (relation IS NOT NULL OR NOT retention ? 'ttl' OR location !~ '/\{tenant_id\}:')$$,
	'Cache is derived, never authoritative: Redis holds derived/hot copies with TTLs, keys prefixed by tenantId');

-- ---- Blob is for artifacts ---------------------------------------------------------

SELECT is_empty($$SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN steward.store s ON s.relation = a.attrelid
				   WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.atttypid = 'bytea'::regtype OR a.attname ~ '^(artifact|content|document|body)_ref$' AND a.atttypid <> 'steward.blob_ref'::regtype)$$,
	'Blob is for artifacts: relational stores hold metadata and references');
SELECT is_empty($$SELECT name FROM steward.store WHERE kind = 'blob' AND retention IS NULL$$,
	'Blob is for artifacts: Reports, audit archives, and attachments go to Blob with lifecycle policies (declared)');
SELECT todo('lifecycle policies are declared only', 1);
SELECT isnt_empty($$SELECT FROM steward.due() d JOIN steward.store s ON s.name = d.store WHERE s.kind = 'blob'$$,
	'Blob is for artifacts: go to Blob with lifecycle policies');

-- ===========================================================================
-- Provisioning
-- ===========================================================================

SELECT is_empty($$SELECT s.relation FROM steward.store s JOIN pg_class c ON c.oid = s.relation WHERE c.relowner <> 'steward_pipeline'::regrole$$,
	'Provisioning: All stores are provisioned by Pulumi IaC: every table belongs to the pipeline''s role');
SELECT is_empty('SELECT * FROM steward.apply(steward.manifest())', 'Provisioning: the live catalog is its own manifest: applying it does nothing');
SELECT is_empty($$SELECT rolname FROM pg_authid r JOIN steward.service v ON v.role = r.oid WHERE rolcanlogin OR rolpassword IS NOT NULL$$,
	'Provisioning: managed identities for access: no service''s role has a password, or logs in itself');
SELECT is_empty($$SELECT * FROM steward.check() WHERE object = 'order_service.by_hand'$$, 'Provisioning: no store was created outside');
CREATE TABLE order_service.by_hand (tenant_id uuid NOT NULL);
SELECT results_eq($$SELECT severity, rule FROM steward.check() WHERE object = 'order_service.by_hand'$$, $$VALUES ('error', 'ungoverned_table')$$,
	'Provisioning: No store is created outside the IaC pipeline: one that was is a finding');
DROP TABLE order_service.by_hand;
SELECT todo('DDL is not reserved to the pipeline yet', 2);
SELECT is(conform.attempt('postgres', NULL, 'CREATE TABLE order_service.by_hand (tenant_id uuid NOT NULL)'), 'refused 42501 steward_pipeline',
	'Provisioning: No store is created outside the IaC pipeline');
SELECT is(conform.attempt('postgres', NULL, 'ALTER TABLE order_service.orders DROP CONSTRAINT steward_tenant'), 'refused 42501 steward_pipeline',
	'Provisioning: No store is mutated outside the IaC pipeline');
SELECT todo('the server''s own settings are not looked at yet', 2);
SELECT isnt_empty($$SELECT FROM steward.check() WHERE rule ~ 'network|ssl|listen'$$, 'Provisioning: with private networking');
SELECT isnt_empty($$SELECT FROM steward.check() WHERE rule ~ 'encrypt|checksum'$$, 'Provisioning: encryption at rest');

-- ===========================================================================
-- How storage contributes to the pillars
-- ===========================================================================

SELECT is_empty($$SELECT s.relation FROM steward.store s WHERE (s.name LIKE 'outbox_messages%' OR s.name = 'audit_entries')
					 AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = s.relation AND a.attname = 'trace_id' AND a.attnotnull)$$,
	'Traceability: outbox tables tie state changes to published events: each message and audit entry has a traceId');
SELECT is(conform.attempt('conform_order_service', conform.a(), $$INSERT INTO order_service.outbox_messages (tenant_id, message_type, payload) VALUES ({a}, 'x', '{}')$$),
	'refused 23502', 'Traceability: a message without a traceId is refused');
SELECT todo('nothing is archived yet', 1);
SELECT has_view('steward', 'archive', 'Traceability: audit archive preserves immutable history with traceId');
SELECT is_empty($$SELECT * FROM steward.install_template('generated_saas')$$, 'Reusability: the storage topology is generated identically across products: installing it again does nothing');
SELECT is_empty($$SELECT * FROM steward.plan(steward.template('generated_saas'))$$, 'Reusability: from shared templates');
CREATE ROLE conform_agent IN ROLE steward_admin;
SELECT is(conform.attempt('conform_agent', NULL, 'SELECT count(*) FROM steward.apply(steward.manifest())'), 'sees 0',
	'Autonomy: schemas, migrations, and IaC are generated and applied by agents and pipelines: no superuser is needed');
SELECT is(conform.attempt('conform_order_service', NULL, 'SELECT count(*) FROM steward.apply(steward.manifest())'), 'refused 42501',
	'Autonomy: and not by a service');
SELECT is_empty($$SELECT name FROM steward.store WHERE retention IS NULL AND part_of IS NULL$$, 'Governance: every store declares its retention');
SAVEPOINT enforced;
CALL steward.enforce_retention();
SELECT is_empty($$SELECT p.store, p.relation FROM steward.plan_retention() p WHERE p.kind = 'partition'
				  UNION ALL
				  SELECT g.store, g.relation FROM steward.segment g
				   WHERE NOT EXISTS (SELECT FROM steward.task t WHERE t.id = g.task AND t.state = 'queued')$$,
	'Governance: immutable audit, Key Vault-only secrets, and retention policies enforce compliance at the storage layer: what is due is on its way');
ROLLBACK TO enforced;
SELECT todo('no metrics yet', 1);
SELECT isnt_empty($$SELECT FROM pg_class WHERE relnamespace = 'steward'::regnamespace AND relname ~ 'metric'$$,
	'Observability: per-store metrics (latency, throughput, size) are emitted and tagged by tenant');
SELECT is(conform.attempt('conform_order_service', NULL, $$SELECT sum(n) FROM generate_series(1, 100) i, LATERAL (SELECT steward.set_tenant(i) AS t) s,
		LATERAL (SELECT (steward.tenant() = s.t)::int AS n) x$$), 'sees 100',
	'Multi-tenant scale: discriminator-based isolation: a hundred tenants in one transaction, one after the other');

SELECT * FROM finish();
ROLLBACK;
