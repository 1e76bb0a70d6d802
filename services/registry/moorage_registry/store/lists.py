"""What can be listed."""

from moorage_registry.store import schema
from moorage_registry.store.audit import AUDIT_COLUMNS, audit_record
from moorage_registry.store.fields.artifacts import ARTIFACT_FIELDS, COPY_FIELDS, DOWNLOAD_FIELDS
from moorage_registry.store.fields.audit import AUDIT_FIELDS
from moorage_registry.store.fields.instances import INSTANCE_FIELDS
from moorage_registry.store.fields.models import MODEL_FIELDS
from moorage_registry.store.fields.workers import WORKER_FIELDS
from moorage_registry.store.listing import Listing
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES, MODELS, WORKERS

WORKER_LIST = Listing.of(WORKERS, WORKER_FIELDS)
MODEL_LIST = Listing.of(MODELS, MODEL_FIELDS)
INSTANCE_LIST = Listing.of(INSTANCES, INSTANCE_FIELDS)
ARTIFACT_LIST = Listing.of(ARTIFACTS, ARTIFACT_FIELDS)
COPY_LIST = Listing.of(COPIES, COPY_FIELDS)
DOWNLOAD_LIST = Listing.of(DOWNLOADS, DOWNLOAD_FIELDS)
AUDIT_LIST = Listing(
    columns=AUDIT_COLUMNS,
    make=audit_record,
    key=[schema.audit_records.c.id],
    fields=AUDIT_FIELDS,
    default_order="name desc",
)
"""The newest first."""
