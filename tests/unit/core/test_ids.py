import uuid

from moorage_common.core.ids import new_short_id, new_uid
from moorage_common.core.names import check_id


def test_a_uid_is_a_uuid_and_never_the_same() -> None:
    uids = {new_uid() for _ in range(100)}
    assert len(uids) == 100
    assert all(str(uuid.UUID(uid)) == uid for uid in uids)


def test_a_short_id_is_a_valid_id_of_eight_characters() -> None:
    drawn = {new_short_id() for _ in range(100)}
    assert len(drawn) > 90
    assert all(len(check_id(value)) == 8 for value in drawn)
