import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core import errors
from moorage_common.core.errors import ErrorReason, FieldViolation, MoorageError, Shortage
from moorage_common.rpc.status import CODES, code_of, from_rpc_error, from_status, to_status

texts = st.text(max_size=50)


def every_error() -> list[type[MoorageError]]:
    return list(MoorageError.__subclasses__())


def test_every_error_has_a_code_of_its_own() -> None:
    assert set(CODES) == set(every_error())
    assert len(set(CODES.values())) == len(CODES)


@given(
    kind=st.sampled_from(every_error()),
    message=texts,
    reason=st.sampled_from(ErrorReason),
    metadata=st.dictionaries(texts, texts, max_size=3),
    remedy=st.text(alphabet="abc .", max_size=20).map(str.strip),
    retry_after_s=st.none() | st.integers(0, 10**6).map(lambda ms: ms / 1000),
    resource=st.sampled_from(["", "models/m", "models/m/instances/i"]),
    pairs=st.lists(st.tuples(texts, texts), max_size=3),
)
def test_an_error_comes_back_as_it_was(
    kind, message, reason, metadata, remedy, retry_after_s, resource, pairs
) -> None:
    error = kind(
        message,
        reason=reason,
        metadata=metadata,
        remedy=remedy,
        retry_after_s=retry_after_s,
        resource=resource,
        violations=[FieldViolation(*pair) for pair in pairs],
        shortages=[Shortage(*pair) for pair in pairs],
    )
    back = from_status(status_pb2.Status.FromString(to_status(error).SerializeToString()))
    assert type(back) is kind
    assert vars(back) == vars(error)


def test_a_subclass_has_the_code_of_its_parent() -> None:
    class DiskFull(errors.ResourceExhausted):
        pass

    assert code_of(DiskFull("full")) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_person_is_shown_message_and_remedy_together() -> None:
    status = to_status(errors.NotFound("no such model.", remedy="Create it first."))
    shown = error_details_pb2.LocalizedMessage()
    assert any(detail.Unpack(shown) for detail in status.details)
    assert shown.message == "no such model. Create it first."


def test_a_reason_that_is_not_known_here_becomes_the_plain_one() -> None:
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="gone")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="INVENTED_LATER", domain="moorage"))
    assert from_status(status).reason is ErrorReason.RESOURCE_NOT_FOUND


def test_a_code_that_is_not_ours_becomes_internal() -> None:
    assert type(from_status(status_pb2.Status(code=2, message="who knows"))) is errors.Internal


def test_an_ok_status_is_no_error() -> None:
    with pytest.raises(ValueError, match="OK"):
        from_status(status_pb2.Status())


@pytest.mark.parametrize(
    ("code", "said", "kind", "message"),
    [
        (
            grpc.StatusCode.UNAVAILABLE,
            "failed to connect",
            errors.Unavailable,
            "127.0.0.1:7600 cannot be reached",
        ),
        (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "Deadline Exceeded",
            errors.DeadlineExceeded,
            "127.0.0.1:7600 did not answer in time",
        ),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", errors.Unimplemented, "Method not found!"),
        (grpc.StatusCode.UNKNOWN, "", errors.Internal, "127.0.0.1:7600 answered UNKNOWN"),
    ],
)
def test_what_grpc_itself_reports_is_put_into_words(code, said, kind, message) -> None:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), said)
    ours = from_rpc_error(error, target="127.0.0.1:7600")
    assert (type(ours), ours.message) == (kind, message)
    assert ours.metadata["detail"] == said
