"""The one table between errors of the mesh and ``google.rpc.Status``, used by servers and clients.

    to_status       MoorageError → Status, with details
    from_status     Status → MoorageError
    from_rpc_error  what a failed call raised → MoorageError

Which detail carries what:

    ErrorInfo            reason, domain "moorage", metadata: always there
    BadRequest           violations of an InvalidArgument
    PreconditionFailure  violations of any other error
    QuotaFailure         shortages
    RetryInfo            retry_after_s
    ResourceInfo         resource
    LocalizedMessage     the message followed by the remedy, as AIP-193 has it: what to show to a person
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from moorage_common.core import errors
from moorage_common.core.errors import ErrorReason, FieldViolation, MoorageError, Shortage

DetailT = TypeVar("DetailT", bound=Message)

DOMAIN = "moorage"
LOCALE = "en"
DETAILS_KEY = "grpc-status-details-bin"
"""Metadata key under which gRPC carries the Status of a call."""

CODES: Mapping[type[MoorageError], grpc.StatusCode] = MappingProxyType(
    {
        errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
        errors.NotFound: grpc.StatusCode.NOT_FOUND,
        errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
        errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
        errors.Aborted: grpc.StatusCode.ABORTED,
        errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
        errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
        errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
        errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
        errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
        errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
        errors.Cancelled: grpc.StatusCode.CANCELLED,
        errors.DataLoss: grpc.StatusCode.DATA_LOSS,
        errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
        errors.Internal: grpc.StatusCode.INTERNAL,
    }
)
_ERRORS: Mapping[int, type[MoorageError]] = MappingProxyType(
    {code.value[0]: error for error, code in CODES.items()}
)


def code_of(error: MoorageError) -> grpc.StatusCode:
    """Returns the code of an error; that of its nearest ancestor in the table, if it is a subclass."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), grpc.StatusCode.INTERNAL)


def to_status(error: MoorageError) -> status_pb2.Status:
    """Writes an error as a Status with details."""
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message)
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=error.metadata)
    )
    if error.violations:
        status.details.add().Pack(_violations_detail(error))
    if error.shortages:
        quota = error_details_pb2.QuotaFailure()
        for shortage in error.shortages:
            quota.violations.add(subject=shortage.subject, description=shortage.description)
        status.details.add().Pack(quota)
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        status.details.add().Pack(retry)
    if error.resource:
        collection = error.resource.split("/")[-2] if "/" in error.resource else ""
        status.details.add().Pack(
            error_details_pb2.ResourceInfo(
                resource_type=collection, resource_name=error.resource, description=error.message
            )
        )
    if error.remedy:
        status.details.add().Pack(
            error_details_pb2.LocalizedMessage(locale=LOCALE, message=f"{error.message} {error.remedy}")
        )
    return status


def from_status(status: status_pb2.Status) -> MoorageError:
    """Reads the error that a Status was written from, or the nearest to one that others wrote.

    Raises:
        ValueError: The Status is OK.
    """
    if status.code == 0:
        raise ValueError("an OK status is no error")
    kind = _ERRORS.get(status.code, errors.Internal)
    info = _detail(status, error_details_pb2.ErrorInfo) or error_details_pb2.ErrorInfo()
    bad_request = _detail(status, error_details_pb2.BadRequest) or error_details_pb2.BadRequest()
    precondition = _detail(status, error_details_pb2.PreconditionFailure)
    quota = _detail(status, error_details_pb2.QuotaFailure) or error_details_pb2.QuotaFailure()
    retry = _detail(status, error_details_pb2.RetryInfo)
    resource = _detail(status, error_details_pb2.ResourceInfo)
    localized = _detail(status, error_details_pb2.LocalizedMessage)
    violations = [FieldViolation(item.field, item.description) for item in bad_request.field_violations]
    if precondition:
        violations = [FieldViolation(item.subject, item.description) for item in precondition.violations]
    return kind(
        status.message,
        reason=_reason(info, kind),
        metadata=info.metadata,
        remedy=localized.message.removeprefix(status.message).strip() if localized else "",
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        resource=resource.resource_name if resource else "",
        violations=violations,
        shortages=[Shortage(item.subject, item.description) for item in quota.violations],
    )


def from_rpc_error(error: grpc.aio.AioRpcError, *, target: str = "the server") -> MoorageError:
    """Reads what a failed call raised.

    Args:
        error: What gRPC raised.
        target: Who was called, for errors that no server sent, such as a refused connection.
    """
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return from_status(status_pb2.Status.FromString(value))
    return _without_details(error.code(), error.details() or "", target)


def _without_details(code: grpc.StatusCode, said: str, target: str) -> MoorageError:
    """Words what gRPC itself reports: nobody there, too late, too large."""
    metadata = {"target": target, "detail": said}
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable(f"{target} cannot be reached", metadata=metadata)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(f"{target} did not answer in time", metadata=metadata)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in said:
        return errors.ResourceExhausted(
            f"the message is too large for {target}", reason=ErrorReason.MESSAGE_TOO_LARGE, metadata=metadata
        )
    kind = _ERRORS.get(code.value[0], errors.Internal)
    return kind(said or f"{target} answered {code.name}", metadata=metadata)


def _detail(status: status_pb2.Status, kind: type[DetailT]) -> DetailT | None:
    detail = kind()
    return detail if any(packed.Unpack(detail) for packed in status.details) else None


def _violations_detail(
    error: MoorageError,
) -> error_details_pb2.BadRequest | error_details_pb2.PreconditionFailure:
    if isinstance(error, errors.InvalidArgument):
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(field=violation.field, description=violation.description)
        return bad_request
    precondition = error_details_pb2.PreconditionFailure()
    for violation in error.violations:
        precondition.violations.add(
            type=error.reason.value, subject=violation.field, description=violation.description
        )
    return precondition


def _reason(info: error_details_pb2.ErrorInfo, kind: type[MoorageError]) -> ErrorReason:
    """A reason that a newer or another server invented becomes the plain one of its code."""
    try:
        return ErrorReason(info.reason)
    except ValueError:
        return kind.default_reason
