"""A role of PostgreSQL that a person's query runs as: it may read Vinbatch's tables and views, nothing else.

Made where the store's user may make roles; one for each database, because roles belong to the whole server
and must not open one database to the users of another.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, inspect, text

# Those that were there before the role was. Not alembic_version, and nothing that others may have put beside.
_TABLES = ("jobs", "documents", "pages", "extractions", "fields", "checks")


def name(connection: Connection) -> str:
    oid = connection.execute(text("SELECT oid FROM pg_database WHERE datname = current_database()"))
    return f"vinbatch_reader_{oid.scalar_one()}"


def make(connection: Connection) -> None:
    """Makes the role where the store's user may; where it is there, it may read the tables."""
    role = name(connection)
    if _may_make_roles(connection):
        if not _exists(connection, role):
            connection.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
        connection.exec_driver_sql(f"GRANT {role} TO CURRENT_USER")
    allow(connection, _TABLES)
    if _exists(connection, role):  # views that people make for themselves
        schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
        later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}"
        connection.exec_driver_sql(later)


def lacking(connection: Connection) -> bool:
    """Whether there is no role, and the store's user may make it: a dump of a database has no roles."""
    return not _exists(connection, name(connection)) and _may_make_roles(connection)


def make_again(connection: Connection, tables: Iterable[str]) -> None:
    """Makes the role of a database that was restored, with the rights that it had."""
    make(connection)
    quoted = connection.dialect.identifier_preparer.quote_identifier
    allow(connection, map(quoted, [*tables, *inspect(connection).get_view_names()]))


def allow(connection: Connection, relations: Iterable[str]) -> None:
    """Lets the role, where there is one, read these tables or views (quoted where they need it)."""
    role = name(connection)
    if _exists(connection, role):
        connection.exec_driver_sql(f"GRANT SELECT ON {', '.join(relations)} TO {role}")


def usable(connection: Connection) -> str | None:
    """The role, if there is one, it has no rights that it should not have, and SET ROLE may take it."""
    may = "SET" if connection.connection.driver_connection.info.server_version >= 160000 else "MEMBER"  # type: ignore[union-attr]
    query = text(
        "SELECT rolname FROM pg_roles WHERE rolname = :role AND pg_has_role(oid, :may)"
        " AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)"
        " AND NOT EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid)"
    )
    found: str | None = connection.execute(query, {"role": name(connection), "may": may}).scalar_one_or_none()
    return found


def _exists(connection: Connection, role: str) -> bool:
    query = text("SELECT FROM pg_roles WHERE rolname = :role")
    return connection.execute(query, {"role": role}).first() is not None


def _may_make_roles(connection: Connection) -> bool:
    query = text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    return bool(connection.execute(query).scalar_one())
