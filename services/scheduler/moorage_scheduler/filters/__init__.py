"""The rules that a worker must pass before its memory is looked at, one per file."""

from moorage_scheduler.filters.accelerator import AcceleratorRule
from moorage_scheduler.filters.base import CardRule, Filter
from moorage_scheduler.filters.capability import CapabilityRule
from moorage_scheduler.filters.cordon import CordonFilter
from moorage_scheduler.filters.cpu_architecture import CpuArchitectureFilter
from moorage_scheduler.filters.disk import DiskFilter
from moorage_scheduler.filters.drain import DrainFilter
from moorage_scheduler.filters.driver import DriverRule
from moorage_scheduler.filters.engine import EngineFilter
from moorage_scheduler.filters.engine_version import EngineVersionFilter
from moorage_scheduler.filters.gpu_selection import GpuSelectionRule
from moorage_scheduler.filters.local_path import LocalPathFilter
from moorage_scheduler.filters.maintenance import MaintenanceFilter
from moorage_scheduler.filters.operating_system import OperatingSystemFilter
from moorage_scheduler.filters.reachable import ReachableFilter
from moorage_scheduler.filters.selection import SelectionFilter
from moorage_scheduler.filters.state import StateFilter

FILTERS: tuple[Filter | CardRule, ...] = (
    SelectionFilter(),  # first: whom the user left out should read nothing else about itself
    ReachableFilter(),  # what an absent worker last said of itself may no longer be so
    StateFilter(),
    MaintenanceFilter(),  # a person's word, before any machine's
    DrainFilter(),  # says more than the cordon that comes with it
    CordonFilter(),
    OperatingSystemFilter(),  # from here on, what the machine is: the coarsest first,
    CpuArchitectureFilter(),  # so that the reason given is the one that decides
    AcceleratorRule(),  # needs to know what the engine drives
    EngineFilter(),  # only on a machine that could run it is it worth installing
    EngineVersionFilter(),  # only where there is one is it worth another
    CapabilityRule(),  # depends on the build that is there: after the rules about builds
    DriverRule(),
    LocalPathFilter(),
    DiskFilter(),
    GpuSelectionRule(),  # last: what is wrong with a chosen card should be said before that others were not chosen
)
"""In the order in which they are asked: a worker counts under the first that it fails."""

__all__ = ["FILTERS", "CardRule", "Filter"]
