import shlex

from moorage_cli.quickstart.hints import things_to_try


def test_hints_are_command_lines_with_the_addresses_of_the_mesh() -> None:
    addresses = {"registry": "127.0.0.1:7600", "scheduler": "127.0.0.1:7601"}
    hints = things_to_try(addresses, instance="models/tiny/instances/a1", moor_options=" --data-dir x")
    grpcurl = [shlex.split(hint) for hint in hints if hint.startswith("grpcurl")]
    assert grpcurl[0] == ["grpcurl", "-plaintext", "127.0.0.1:7600", "list"]
    assert grpcurl[-1] == [
        "grpcurl",
        "-plaintext",
        "-d",
        '{"name": "models/tiny/instances/a1"}',
        "127.0.0.1:7601",
        "moorage.scheduler.v1.SchedulerService/ExplainInstance",
    ]
    buf = [shlex.split(hint) for hint in hints if " curl " in hint]
    assert [words[-1].removeprefix("http://") for words in buf] == [
        "/".join(words[-2:]) for words in grpcurl[1:]
    ]
    assert hints[-1].endswith("moor logs tiny --data-dir x")
