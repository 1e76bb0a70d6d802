from datetime import UTC

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from moorage.registry.v1.audit_service_pb2 import AuditRecord
from moorage_cli.views.auditing import audit_rows

AT = Timestamp(seconds=1_767_225_600)


def struct(**fields: object) -> Struct:
    made = Struct()
    made.update(fields)
    return made


def record(**fields: object) -> AuditRecord:
    values: dict[str, object] = {
        "time": AT,
        "actor": "ada@bridge",
        "method": "moorage.registry.v1.ModelService/UpdateModel",
        "resource": "models/a",
        **fields,
    }
    return AuditRecord(**values)  # type: ignore[arg-type]


def changed(of: AuditRecord) -> object:
    (cells,) = audit_rows([of], zone=UTC).cells
    return cells[4]


def test_who_did_what_and_what_it_changed() -> None:
    updated = record(
        before=struct(replicas=1, version="1", labels={"team": "a", "zone": "x"}),
        after=struct(replicas=3, version="2", labels={"team": "b", "zone": "x"}),
        changed_fields=["replicas", "labels"],
    )
    assert audit_rows([updated], zone=UTC).cells == (
        (
            "2026-01-01 00:00:00",
            "ada@bridge",
            "UpdateModel",
            "models/a",
            "labels.team: a → b\nreplicas: 1 → 3",
        ),
    )


def test_what_came_and_what_went() -> None:
    assert changed(record(after=struct(replicas=1))) == "created"
    assert changed(record(before=struct(replicas=1))) == "deleted"
    assert changed(record()) == "nothing"
    same = struct(replicas=1)
    assert changed(record(before=same, after=same)) == "nothing"


def test_a_changed_field_that_is_not_shown_is_named() -> None:
    assert changed(record(before=struct(), after=struct(), changed_fields=["drain"])) == "drain"


def test_who_did_not_say_is_known_by_where_it_came_from() -> None:
    (cells,) = audit_rows([record(actor="", peer="ipv4:10.0.0.5:1")], zone=UTC).cells
    assert cells[1] == "ipv4:10.0.0.5:1"
