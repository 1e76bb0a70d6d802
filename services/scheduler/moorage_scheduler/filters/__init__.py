"""The rules that a worker must pass before its memory is looked at, one per file."""

from moorage_scheduler.filters.accelerator import AcceleratorFilter
from moorage_scheduler.filters.base import Filter
from moorage_scheduler.filters.cordon import CordonFilter
from moorage_scheduler.filters.cpu_architecture import CpuArchitectureFilter
from moorage_scheduler.filters.engine import EngineFilter
from moorage_scheduler.filters.operating_system import OperatingSystemFilter
from moorage_scheduler.filters.selection import SelectionFilter
from moorage_scheduler.filters.state import StateFilter

FILTERS: tuple[Filter, ...] = (
    SelectionFilter(),  # first: whom the user left out should read nothing else about itself
    StateFilter(),  # what an absent worker last said of itself may no longer be so
    CordonFilter(),  # a person's word, before any machine's
    OperatingSystemFilter(),  # from here on, what the machine is: the coarsest first,
    CpuArchitectureFilter(),  # so that the reason given is the one that decides
    AcceleratorFilter(),  # needs to know what the engine drives, and takes two columns
    EngineFilter(),  # last: only on a machine that could run it is it worth installing
)
"""In the order in which they are asked: a worker counts under the first that it fails."""

__all__ = ["FILTERS", "Filter"]
