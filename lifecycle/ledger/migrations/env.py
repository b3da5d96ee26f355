"""How Alembic reaches the ledger: through the connection that `Ledger.open` hands it."""

from alembic import context

from lifecycle.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
