"""Run by Alembic, inside the transaction that `pipeline.store.migrate` has begun."""

from alembic import context

from pipeline.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
