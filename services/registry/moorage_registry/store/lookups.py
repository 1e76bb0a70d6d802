"""Locking one resource by its id, or saying that there is none."""

from typing import TypeVar

from sqlalchemy import ColumnElement

from moorage_common.core.errors import NotFound
from moorage_common.core.names import (
    artifact_name,
    download_name,
    instance_name,
    model_name,
)
from moorage_registry.core.records import Artifact, Download, Instance, Model, Record
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.table_map import RecordTable
from moorage_registry.store.tables import ARTIFACTS, DOWNLOADS, INSTANCES, MODELS

R = TypeVar("R", bound=Record)


async def lock_model(tx: Transaction, model_id: str) -> Model:
    """Locks one model, or raises NotFound."""
    return await _one(tx, MODELS, model_name(model_id), schema.models.c.id == model_id)


async def lock_model_if_any(tx: Transaction, model_id: str) -> Model | None:
    """Locks one model if it exists."""
    found = await MODELS.lock(tx, schema.models.c.id == model_id)
    return found[0] if found else None


async def lock_instance(tx: Transaction, model_id: str, instance_id: str) -> Instance:
    """Locks one instance, or raises NotFound."""
    table = schema.instances
    name = instance_name(model_id, instance_id)
    return await _one(tx, INSTANCES, name, table.c.model_id == model_id, table.c.id == instance_id)


async def lock_artifact(tx: Transaction, artifact_id: str) -> Artifact:
    """Locks one artifact, or raises NotFound."""
    return await _one(tx, ARTIFACTS, artifact_name(artifact_id), schema.artifacts.c.id == artifact_id)


async def lock_download(tx: Transaction, download_id: str) -> Download:
    """Locks one download, or raises NotFound."""
    return await _one(tx, DOWNLOADS, download_name(download_id), schema.downloads.c.id == download_id)


async def _one(tx: Transaction, table: RecordTable[R], name: str, *where: ColumnElement[bool]) -> R:
    found = await table.lock(tx, *where)
    if not found:
        raise NotFound(f"there is no {name}", resource=name)
    return found[0]
