"""The record tables: which record each table holds, and what watchers see of it.

Locks are always taken in this order, and within a table in the order of the uids, so that no two
transactions can wait for each other: models, instances, workers, memory pools, artifacts, copies,
downloads, resolutions. (A model's own resolution may come right after the model: who leases one
waits for nothing else.) Who needs several of a table locks them in one statement. The members of an
instance have no lock of their own: they are changed under the instance's, and come and go under those
of all of their workers as well.
"""

from moorage_registry.core.records import Artifact, ArtifactCopy, Download, Instance, Model, Worker
from moorage_registry.store import schema
from moorage_registry.store.table_map import RecordTable

MODELS = RecordTable(schema.models, Model, key=["id"], as_resource=lambda record: record)
INSTANCES = RecordTable(schema.instances, Instance, key=["model_id", "id"], as_resource=lambda record: record)
WORKERS = RecordTable(schema.workers, Worker, key=["id"], as_resource=None)
"""Without its memory pools a worker is half of what watchers see: `ledger` puts changes on record."""
ARTIFACTS = RecordTable(schema.artifacts, Artifact, key=["id"], as_resource=lambda record: record)
COPIES = RecordTable(
    schema.artifact_copies, ArtifactCopy, key=["artifact_id", "worker_id"], as_resource=lambda record: record
)
DOWNLOADS = RecordTable(schema.downloads, Download, key=["id"], as_resource=lambda record: record)
