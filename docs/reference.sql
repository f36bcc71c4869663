/*
 * reference.sql
 *    Prints docs/reference.md from the catalog's own comments:
 *    psql -XAtq -f docs/reference.sql in a database that has the extension.
 *    test/t/009_docs.pl holds the committed file against it.
 */
SET search_path = pg_catalog;
SELECT $md$# Reference

Made by `docs/reference.sql` from the comments that `\dx+`, `\df+` and `\d+` show.

## Roles

Created by CREATE EXTENSION if absent, without a login.

| role | may |
|---|---|
| `steward_admin` | change the map: `create_service`, `govern`, `apply`, `release`, … Whoever decides who owns a table can give it to a role of his own: grant this as you would grant reading everything |
| `steward_pipeline` | own the templates' tables; with `steward_cross_tenant`, write any row of any store (migrations) |
| `steward_operator` | read the map and the findings; run and schedule retention, place and release legal holds, read and restore archives |
| `steward_auditor` | read the map and the findings; read and verify archives, which hold every tenant's rows |
| `steward_cross_tenant` | touch rows of every tenant, in the stores that its other memberships let it touch |

## Settings

| setting | default | |
|---|---|---|$md$;
SELECT format('| `%s` | `%s` | %s |', name, coalesce(nullif(boot_val, '') || coalesce(' ' || unit, ''), ' '),
              concat_ws(' ', short_desc, nullif(extra_desc, ''), 'Context: ' || context || '.'))
  FROM pg_settings WHERE name LIKE 'steward.%' ORDER BY name;
SELECT $md$
## Functions and procedures

Who may call: `P` anyone, `A` members of `steward_admin`, `O` of `steward_operator` or `steward_admin`, `V` of `steward_operator` or `steward_auditor`, `R` of any steward role that reads the map (`steward_admin`, `steward_pipeline`, `steward_operator`, `steward_auditor`), `-` the extension alone. A procedure is called with CALL.
$md$;
CREATE TEMP TABLE routine AS
SELECT p.oid, p.proname,
       -- for people; what is not listed here is what these are made of
       p.proname IN ('create_service', 'drop_service', 'govern', 'alter_store', 'release', 'plan', 'apply', 'manifest', 'template',
                     'install_template', 'check', 'arm', 'armed', 'preloaded', 'set_tenant', 'tenant',
                     'due', 'enforce_retention', 'override_retention', 'end_tenant', 'revive_tenant', 'ended_tenants',
                     'schedule', 'unschedule', 'scheduler', 'hold', 'release_hold',
                     'read_archive', 'read_archive_as', 'verify_archive', 'restore', 'archive_rows',
                     'vault_name', 'vault_host', 'secret_name', 'secret_version', 'unversioned', 'blob_account', 'blob_container', 'blob_name', 'fingerprint_digest') AS called,
       format('| `%s(%s)` | %s | %s | %s |', p.proname,
              regexp_replace(replace(replace(pg_get_function_arguments(p.oid), 'timestamp with time zone', 'timestamptz'),
                                     'IN ', CASE p.prokind WHEN 'p' THEN '' ELSE 'IN ' END), '(DEFAULT [^,:]*)::[a-z]+(\[\])?', '\1', 'g'),
              CASE WHEN p.prokind = 'p' THEN 'procedure' WHEN p.proretset AND p.proargmodes IS NOT NULL THEN 'table'
                   ELSE format('`%s`', replace(format_type(p.prorettype, NULL), 'timestamp with time zone', 'timestamptz')) END,
              CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'P'
                   WHEN has_function_privilege('steward_auditor', p.oid, 'EXECUTE')
                   THEN CASE WHEN has_function_privilege('steward_pipeline', p.oid, 'EXECUTE') THEN 'R' ELSE 'V' END
                   WHEN has_function_privilege('steward_operator', p.oid, 'EXECUTE') THEN 'O'
                   WHEN has_function_privilege('steward_admin', p.oid, 'EXECUTE') THEN 'A' ELSE '-' END,
              obj_description(p.oid, 'pg_proc')) AS line
  FROM pg_proc p
 WHERE p.pronamespace = 'steward'::regnamespace
   AND p.proname !~ '^(secret_ref|blob_ref|fingerprint)_(in|out|recv|send|lt|le|eq|ne|ge|gt|cmp|sortsupport|hash|hash_extended)$';
SELECT $md$| to be called | returns | who | |
|---|---|---|---|$md$;
SELECT line FROM routine WHERE called ORDER BY proname, oid;
SELECT $md$
| what those, and constraints, policies and triggers are made of | returns | who | |
|---|---|---|---|$md$;
SELECT line FROM routine WHERE NOT called ORDER BY proname, oid;
SELECT $md$
## Types

| type | |
|---|---|$md$;
SELECT format('| `%s` | %s |', format_type(t.oid, NULL), obj_description(t.oid, 'pg_type'))
  FROM pg_type t WHERE t.typnamespace = 'steward'::regnamespace AND t.typtype = 'b' AND t.typelem = 0 ORDER BY t.typname;
SELECT $md$
## Tables and views
$md$;
SELECT format(E'### steward.%s\n\n%s\n\n| column | type | |\n|---|---|---|\n%s\n', c.relname, obj_description(c.oid, 'pg_class'),
              (SELECT string_agg(format('| `%s` | `%s` | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
                                        coalesce(col_description(c.oid, a.attnum), '')), E'\n' ORDER BY a.attnum)
                 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
  FROM pg_class c WHERE c.relnamespace = 'steward'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY c.relname;
SELECT $md$## Findings of steward.check()

| rule | severity | |
|---|---|---|
| `unarmed` | critical | nothing is enforced but row security |
| `missing_role` | critical | the role that acts for a service was dropped |
| `privileged_role` | critical | a service's role is superuser, BYPASSRLS, REPLICATION or CREATEROLE, or a login that acts for it is BYPASSRLS |
| `constraint`, `trigger`, `policy`, `row_security` | critical | something that a store's rules hang on is missing, altered or disabled, on the table or on one partition |
| `foreign_policy` | critical | a permissive policy beside ours: PostgreSQL adds them up |
| `foreign_table` | critical | a foreign table below a store: no rule holds there |
| `archive_store` | error | the archive store cannot be written and read |
| `broken_hold` | error | a legal hold that its table cannot be asked about any more: every row is held |
| `clock_jump` | error | the clock stands before the last run of retention, or 90 days after it |
| `failed_retention` | error | a task of retention was given up |
| `foreign_retention` | error | pg_partman drops partitions of a store |
| `no_worker` | error | nothing can be archived or purged here |
| `overdue_archive` | error | an archive whose own time is over, not removed for two days |
| `overdue_retention` | error | what has been due for two days, and nobody works on it |
| `pending_detach` | error | a concurrent detach that was broken off |
| `retention_clock` | error | a retention that cannot be reckoned: the column is not there, or holds no time |
| `retention_not_running` | error | nobody has called enforce_retention() for two days, though somebody is to |
| `retention_without_key` | error | rows are due one by one, and no key tells them apart |
| `retention_cascades` | error | rows are due, and a foreign key would take rows of another table along |
| `ungoverned_table` | error | a table that is no store, in a database that has stores |
| `no_owner` | error | a store that no service owns |
| `missing_relation`, `missing_column` | error | the map names what does not exist any more |
| `foreign_key_without_tenant` | error | a foreign key between tenant stores that can cross tenants |
| `leaking_view` | error | a view with its owner's rights, or a materialized view, over a tenant store |
| `role_membership` | error | a service's role that acts for another service, or for every tenant |
| `archive_beside_data` | warning | archives lie below the data directory |
| `no_scheduler` | warning | nobody calls enforce_retention() on time |
| `unindexed_clock` | warning | rows are due one by one, and no index begins with the clock |
| `no_retention` | warning | nothing says how long the data is kept |
| `unindexed_key` | warning | a lookup that no index serves, tenant first |
| `grant` | warning | the owner lacks a privilege on its own store |
| `not_preloaded` | warning | the access plane is not in force |

## Errors

| SQLSTATE | constraint field | when |
|---|---|---|
| 42501 | `steward_tenant` | a row of another tenant, of none, or no tenant set; TRUNCATE of a tenant store |
| 42501 | `steward_owner` | a statement of a role that does not act for the store's owner |
| 42501 | `steward_row_owner` | a row of another service, in a store with a row-owner column |
| 42501 | `steward_append_only` | UPDATE, DELETE or TRUNCATE of an append-only store |
| 42501 | `steward_hold` | what a legal hold keeps was to be deleted, truncated, dropped, detached or changed out of it |
| 42501 | `steward_sealed` | a write to a partition that is being archived |
| 22P02 | | a malformed reference; a tenant that is not of the column's type |
| 22023 | | a manifest that is wrong somewhere; an empty tenant |
| 55P03 | | a lock that was not had within `steward.lock_timeout` |
| 55000 | | a clock that jumped; pg_cron not loaded; a hold that is released already |
| 23505 | | rows to restore that are there already |
| 40001 | | what was to be purged is not what was archived: it is archived again |
| 0A000, 54000 | | a value that its type would not read back, a row too large: not archived |
| XX001 | | an archive does not prove its rows |
| 53100, 58030, 58P01 | | the archive store, or a file in it |

A refused value stands in none of the error's fields, nor in the server log.$md$;
