-- What a new PostgreSQL gets, once, by psql as superuser: the mesh's database, the role that owns its tables and
-- migrates them, and the role that reads and writes rows and alters nothing.
\set owner_password `cat "${MOORAGE_SECRETS_DIR:-/run/secrets}/owner_password"`
\set application_password `cat "${MOORAGE_SECRETS_DIR:-/run/secrets}/application_password"`

SELECT :'owner_password' = '' OR :'application_password' = '' AS missing \gset
\if :missing
    DO $$ BEGIN RAISE 'the secrets owner_password and application_password must be there'; END $$;
\endif

CREATE ROLE moorage_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE moorage_app LOGIN PASSWORD :'application_password';
CREATE DATABASE moorage OWNER moorage_owner;

\connect moorage
ALTER DEFAULT PRIVILEGES FOR ROLE moorage_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO moorage_app;
ALTER DEFAULT PRIVILEGES FOR ROLE moorage_owner GRANT USAGE, SELECT ON SEQUENCES TO moorage_app;
