"""Writes the tables of filters.md from the fields themselves: ``python docs/render_filters.py``."""  # noqa: INP001 - a script

from pathlib import Path

from moorage_registry.core.filters.types import FieldType
from moorage_registry.store.fields.artifacts import ARTIFACT_FIELDS, COPY_FIELDS, DOWNLOAD_FIELDS
from moorage_registry.store.fields.audit import AUDIT_FIELDS
from moorage_registry.store.fields.instances import INSTANCE_FIELDS
from moorage_registry.store.fields.models import MODEL_FIELDS
from moorage_registry.store.fields.stored import FieldTable
from moorage_registry.store.fields.workers import WORKER_FIELDS

PAGE = Path(__file__).with_name("filters.md")
START = "<!-- From here on made by docs/render_filters.py. -->\n"
LISTS: dict[str, FieldTable] = {
    "ListWorkers": WORKER_FIELDS,
    "ListModels": MODEL_FIELDS,
    "ListInstances, ListModelEndpoints": INSTANCE_FIELDS,
    "ListArtifacts": ARTIFACT_FIELDS,
    "ListArtifactCopies": COPY_FIELDS,
    "ListDownloads, ListDownloadRecords": DOWNLOAD_FIELDS,
    "ListAuditRecords": AUDIT_FIELDS,
}


def render(page: str) -> str:
    """Returns the page with its tables as they should be."""
    written, _, _ = page.partition(START)
    return written + START + "".join(f"\n## {title}\n\n{_table(table)}" for title, table in LISTS.items())


def _table(table: FieldTable) -> str:
    rows = ["| field | a value of it | order_by |", "|---|---|---|"]
    rows += [f"| `{name}` | {type_} | {_order(type_)} |" for name, type_ in table.types.items()]
    return "\n".join(rows) + "\n"


def _order(type_: FieldType) -> str:
    return "yes" if type_.is_sortable else ""


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
