"""Explanations as watchers get them, beside what can be filtered by."""

import sqlalchemy as sa
from alembic import op
from google.protobuf.json_format import ParseDict
from sqlalchemy.dialects.postgresql import JSONB

from moorage.common.v1.placement_pb2 import Explanation

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_GIST = ("verdict", "summary", "workers_considered")
_INSTANCES = sa.table(
    "instances",
    sa.column("uid", sa.Text()),
    sa.column("explanation", JSONB()),
    sa.column("explanation_message", sa.LargeBinary()),
)


def upgrade() -> None:
    """Adds the column and moves there what explanations say in full; their gist stays."""
    op.add_column("instances", sa.Column("explanation_message", sa.LargeBinary(), nullable=True))
    connection = op.get_bind()
    told = connection.execute(
        sa.select(_INSTANCES.c.uid, _INSTANCES.c.explanation).where(_INSTANCES.c.explanation.is_not(None))
    ).all()
    statement = (
        sa.update(_INSTANCES)
        .where(_INSTANCES.c.uid == sa.bindparam("of"))
        .values(explanation_message=sa.bindparam("message"), explanation=sa.bindparam("gist"))
    )
    for row in told:
        message = ParseDict(row.explanation, Explanation(), ignore_unknown_fields=True)
        gist = {key: row.explanation[key] for key in _GIST if key in row.explanation}
        connection.execute(statement, {"of": row.uid, "message": message.SerializeToString(), "gist": gist})
