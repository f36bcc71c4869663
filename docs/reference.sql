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
| `steward_operator` | read the map and the findings |
| `steward_auditor` | read the map and the findings |
| `steward_cross_tenant` | touch rows of every tenant, in the stores that its other memberships let it touch |

## Settings

| setting | default | |
|---|---|---|$md$;
SELECT format('| `%s` | `%s` | %s %s Context: %s |', name, coalesce(nullif(boot_val, ''), ' '), short_desc, extra_desc, context)
  FROM pg_settings WHERE name LIKE 'steward.%' ORDER BY name;
SELECT $md$
## Functions

`P`: anyone. `A`: members of `steward_admin`. `R`: members of the steward roles that read the map (`steward_admin`, `steward_pipeline`, `steward_operator`, `steward_auditor`). `-`: called by the extension alone.

| function | returns | who | |
|---|---|---|---|$md$;
SELECT format('| `%s(%s)` | `%s` | %s | %s |', p.proname, pg_get_function_arguments(p.oid),
              CASE WHEN p.proretset AND p.proargmodes IS NOT NULL THEN 'table' ELSE format_type(p.prorettype, NULL) END,
              CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'P'
                   WHEN has_function_privilege('steward_auditor', p.oid, 'EXECUTE') THEN 'R'
                   WHEN has_function_privilege('steward_admin', p.oid, 'EXECUTE') THEN 'A' ELSE '-' END,
              obj_description(p.oid, 'pg_proc'))
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'steward'::regnamespace
   AND p.proname !~ '^(secret_ref|blob_ref|fingerprint)_(in|out|recv|send|lt|le|eq|ne|ge|gt|cmp|sortsupport|hash|hash_extended)$'
 ORDER BY p.proname, p.oid;
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
| `ungoverned_table` | error | a table that is no store, in a database that has stores |
| `no_owner` | error | a store that no service owns |
| `missing_relation`, `missing_column` | error | the map names what does not exist any more |
| `foreign_key_without_tenant` | error | a foreign key between tenant stores that can cross tenants |
| `leaking_view` | error | a view with its owner's rights, or a materialized view, over a tenant store |
| `role_membership` | error | a service's role that acts for another service, or for every tenant |
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
| 22P02 | | a malformed reference; a tenant that is not of the column's type |
| 22023 | | a manifest that is wrong somewhere; an empty tenant |
| 55P03 | | a lock that was not had within `steward.lock_timeout` |

A refused value stands in none of the error's fields, nor in the server log.$md$;
