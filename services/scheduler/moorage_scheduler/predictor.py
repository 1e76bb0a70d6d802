"""How fast placements should be, on the fleet that they are made for, by what was measured on the live one."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from moorage.registry.v1.instance_pb2 import Instance
from moorage_common.core.clock import Clock
from moorage_scheduler.convert.placements import placement_from_proto
from moorage_scheduler.core.cluster import RAM, Worker
from moorage_scheduler.core.request import Placement, Request
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.mirror import Mirror
from moorage_scheduler.prediction.calibration import Calibration, Sample, counts, learn
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.outcome import Prediction
from moorage_scheduler.prediction.predict import Subject, predict, sample
from moorage_scheduler.prediction.shape import shape_of

_LEARNED_FOR_S = 60.0
"""How long what was learned is good for: instances report their speed a few times a minute."""
_MOST_SAMPLES = 1000


class Predictor:
    """Predicts, and learns from the live fleet now and then."""

    def __init__(self, mirror: Mirror, clock: Clock) -> None:
        self._mirror = mirror
        self._clock = clock
        self._calibration = Calibration()
        self._learned_at = -_LEARNED_FOR_S

    def predict(self, snapshot: Snapshot, request: Request, placement: Placement) -> Prediction | None:
        """Returns how fast a placement should be. None: nothing is known of some card that it uses."""
        subject = _subject(snapshot, request, placement)
        return None if subject is None else predict(subject, self._learned())

    def _learned(self) -> Calibration:
        now = self._clock.monotonic()
        if now - self._learned_at >= _LEARNED_FOR_S:
            self._learned_at = now
            self._calibration = learn(islice(self._samples(), _MOST_SAMPLES))
        return self._calibration

    def _samples(self) -> Iterator[Sample]:
        snapshot = self._mirror.snapshot()
        for instance in self._mirror.instances.values():
            told = _told(instance, self._mirror, snapshot)
            if told is not None:
                yield told


def _told(instance: Instance, mirror: Mirror, snapshot: Snapshot) -> Sample | None:
    """What one running instance says about its devices. None: nothing."""
    measured = instance.performance
    if not measured.decode_tokens_per_s or not instance.HasField("placement"):
        return None
    if not counts(
        generated_tokens=measured.generated_tokens, concurrent_requests=measured.concurrent_requests
    ):
        return None
    request, placement = mirror.request_for(instance), placement_from_proto(instance.placement)
    if request is None or placement is None:
        return None
    subject = _subject(snapshot, request, placement)
    if subject is None:
        return None
    return sample(subject, measured_tokens_per_s=measured.decode_tokens_per_s)


def _subject(snapshot: Snapshot, request: Request, placement: Placement) -> Subject | None:
    """What is predicted. None: a worker that takes part is gone."""
    members = (placement.worker, *placement.subordinates)
    slots = snapshot.rows.slots
    if any(member not in slots for member in members):
        return None
    return Subject(
        placement=placement,
        shape=shape_of(request.facts, request.options, request.vllm),
        workers={member: _hardware(snapshot.rows.at(slots[member])) for member in members},
        threads=request.options.threads,
    )


def _hardware(worker: Worker) -> WorkerHardware:
    cards: Mapping[str, str] = {card.uuid: card.product for card in worker.accelerators}
    if worker.unified_memory:
        cards = {RAM: worker.accelerators[0].product}
    return WorkerHardware(
        products=cards,
        unified_memory=worker.unified_memory,
        cpu=worker.cpu,
        cpu_cores=worker.cpu_cores,
        ram_bytes_per_s=worker.ram_bytes_per_s,
        network_bytes_per_s=worker.network_bytes_per_s,
    )


Predict = Callable[[Snapshot, Request, Placement], Prediction | None]
"""What `Predictor.predict` is to those who ask it."""
