import subprocess
import sys

import pytest

from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import CreateModelRequest
from moorage.registry.v1.watch_service_pb2 import WatchRequest
from moorage_common.core.errors import ErrorReason, InvalidArgument
from moorage_common.rpc.validation import validate, violations_of


def test_a_valid_message_passes() -> None:
    validate(WatchRequest(initial_state=True))


def test_what_has_no_fields_is_valid_and_needs_no_rules() -> None:
    """The rules' library is the largest part of an idle agent that it can do without."""
    code = (
        "import sys, moorage_common.rpc.server\n"
        "from moorage.agent.v1 import agent_service_pb2 as pb\n"
        "from moorage_common.rpc.validation import violations_of\n"
        "assert violations_of(pb.ListEnginesRequest()) == []\n"
        "assert 'protovalidate' not in sys.modules\n"
        "assert violations_of(pb.StreamEngineLogsRequest())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_violations_are_found_with_the_path_of_each() -> None:
    request = WatchRequest(after_revision=-1, kinds=[1, 0, 77])
    fields = [violation.field for violation in violations_of(request)]
    assert fields == ["after_revision", "kinds[1]", "kinds[2]"]


def test_a_rule_of_the_whole_message_has_no_field() -> None:
    (violation,) = violations_of(WatchRequest(after_revision=1, initial_state=True))
    assert violation.field == "(request)"
    assert "exclude each other" in violation.description


def test_paths_lead_into_messages_and_maps() -> None:
    request = CreateModelRequest(model_id="m", model=Model(replicas=-1, labels={"k": "v" * 300}))
    fields = {violation.field for violation in violations_of(request)}
    assert {"model.replicas", 'model.labels["k"]'} <= fields


def test_the_error_says_the_first_few_and_carries_all() -> None:
    request = WatchRequest(after_revision=-1, kinds=[77, 78, 79, 80, 81])
    with pytest.raises(InvalidArgument) as raised:
        validate(request)
    assert raised.value.reason is ErrorReason.INVALID_REQUEST
    assert len(raised.value.violations) == 6
    assert raised.value.message.startswith("the request is invalid: after_revision: must be greater")
    assert raised.value.message.endswith("and 3 more")
