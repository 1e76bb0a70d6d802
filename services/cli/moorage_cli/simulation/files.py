"""Files that describe a fleet, models, or both, as one request."""

import sys
from collections.abc import Iterable
from pathlib import Path

from moorage.scheduler.v1.simulation_pb2 import SimulatedModel, SimulatePlacementRequest
from moorage_cli.simulation.forms import form_of
from moorage_cli.simulation.mistakes import FileInvalid, Mistakes
from moorage_cli.simulation.nodes import Mapping, Node, Scalar, parse
from moorage_cli.simulation.reader import Reader
from moorage_cli.simulation.source_map import SourceMap
from moorage_cli.simulation.spots import Spot
from moorage_common.rpc.validation import violations_of

STDIN = Path("-")
_SECTIONS = frozenset(
    form_of(SimulatePlacementRequest.DESCRIPTOR).fields_by_key(SimulatePlacementRequest.DESCRIPTOR)
)
_OF_MODELS = frozenset(form_of(SimulatedModel.DESCRIPTOR).fields_by_key(SimulatedModel.DESCRIPTOR))


def read_files(paths: Iterable[Path]) -> tuple[SimulatePlacementRequest, SourceMap]:
    """Returns what files say, as one request, and what of it stands where.

    Args:
        paths: "-" is what comes by standard input.

    Raises:
        FileInvalid: Something in them is wrong; all of it is listed.
    """
    mistakes, places = Mistakes(), SourceMap()
    reader, request = Reader(mistakes, places), SimulatePlacementRequest()
    for path in paths:
        name = "standard input" if path == STDIN else str(path)
        for document in parse(_content(path), name, mistakes):
            _read(reader, document, request)
    for mistake in places.mistakes(violations_of(request)):
        # What could not be read is at fault for what follows from that.
        if not mistakes.has_about(mistake.place.label):
            mistakes.add(mistake.place, mistake.told)
    mistakes.check()
    return request, places


def _content(path: Path) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileInvalid(f"cannot read {path}: {error.strerror or error}") from None


def _read(reader: Reader, document: Node, request: SimulatePlacementRequest) -> None:
    if isinstance(document, Mapping) and _is_model(document):
        reader.add_items(request.models, SimulatedModel.DESCRIPTOR, document, Spot("models"))
    else:
        reader.fill(request, document, Spot())


def _is_model(document: Mapping) -> bool:
    """Whether a document is one model by itself, without a section around it."""
    keys = {key.text for key, _ in document.entries if isinstance(key, Scalar)}
    return not keys & _SECTIONS and bool(keys & _OF_MODELS)
