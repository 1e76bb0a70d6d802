"""The table of accelerators: that it is consistent, and that names find what they should and nothing else."""

from collections import Counter

import pytest

from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.prediction.accelerators import Link, lookup, table

SPECS = pytest.mark.parametrize("spec", table(), ids=lambda spec: spec.product)


def test_there_are_enough_of_every_maker():
    kinds = Counter(spec.kind for spec in table())
    assert len(table()) >= 40
    assert all(kinds[kind] >= 5 for kind in AcceleratorKind)
    assert len({spec.product for spec in table()}) == len(table())


@SPECS
def test_a_row_is_found_by_its_own_name(spec):
    assert lookup(spec.product) is spec


@SPECS
def test_a_row_says_where_it_comes_from(spec):
    assert len(spec.source) > 10


@SPECS
def test_figures_are_of_a_plausible_size(spec):
    assert 60e9 <= spec.bytes_per_s <= 10e12
    assert 2e12 <= spec.flops <= 3e15
    assert spec.memory_bytes == 0 or 6 * 2**30 <= spec.memory_bytes <= 300 * 2**30
    # From twice as many operations for every byte as there are bytes to far more than memory can feed.
    assert 10 <= spec.flops / spec.bytes_per_s <= 600


@SPECS
def test_eight_bits_are_twice_as_fast_as_sixteen(spec):
    assert spec.fp8_flops == 0 or spec.fp8_flops == pytest.approx(2 * spec.flops, rel=0.02)


@SPECS
def test_a_link_has_a_speed_and_none_has_none(spec):
    assert (spec.link is Link.NONE) == (spec.link_bytes_per_s == 0)
    if spec.link is Link.NVLINK:
        assert 100e9 <= spec.link_bytes_per_s <= 900e9


@SPECS
def test_capability_goes_with_the_maker_and_with_eight_bits(spec):
    if spec.kind is AcceleratorKind.CUDA:
        major, minor = map(int, spec.compute_capability.split("."))
        assert (spec.fp8_flops > 0) == ((major, minor) >= (8, 9))
    elif spec.kind is AcceleratorKind.ROCM:
        assert spec.compute_capability.startswith("gfx")
    else:
        assert spec.compute_capability == ""
    assert (spec.memory_bytes == 0) == (spec.kind is AcceleratorKind.METAL)


@pytest.mark.parametrize(
    ("reported", "product"),
    [
        ("NVIDIA L40S", "NVIDIA L40S"),
        ("L40S", "NVIDIA L40S"),
        ("nvidia l40s", "NVIDIA L40S"),
        ("NVIDIA L4", "NVIDIA L4"),
        ("NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"),
        ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB"),
        ("A100-PCIE-40GB", "NVIDIA A100-PCIE-40GB"),
        ("NVIDIA A100 80GB PCIe", "NVIDIA A100 80GB PCIe"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"),
        ("NVIDIA H100 PCIe", "NVIDIA H100 PCIe"),
        ("NVIDIA H200 NVL", "NVIDIA H200 NVL"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "NVIDIA GeForce RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce RTX 4070 Ti", "NVIDIA GeForce RTX 4070 Ti"),
        ("NVIDIA RTX 6000 Ada Generation", "NVIDIA RTX 6000 Ada Generation"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
        ("Tesla V100-SXM2-32GB", "Tesla V100-SXM2-32GB"),
        ("Tesla T4", "Tesla T4"),
        ("AMD Instinct MI300X OAM", "AMD Instinct MI300X"),
        ("AMD Radeon RX 7900 XTX", "AMD Radeon RX 7900 XTX"),
        ("Apple M2 Ultra", "Apple M2 Ultra"),
        ("Apple M2", "Apple M2"),
        ("Ascend 910B4", "Ascend 910B4"),
        ("910B3", "Ascend 910B3"),
    ],
)
def test_what_drivers_report(reported, product):
    assert lookup(reported).product == product


@pytest.mark.parametrize(
    "reported",
    [
        "",
        "GPU",
        "NVIDIA",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA L40S-48Q",
        "NVIDIA GeForce RTX 4060",
        "NVIDIA L400",
        "Apple M9",
        "Apple M5 Max",
        "AMD Radeon RX 7900 GRE",
        "AMD Radeon RX 6800",
    ],
)
def test_another_product_is_not_taken_for_one_that_is_known(reported):
    assert lookup(reported) is None


def test_the_cards_of_the_measured_case():
    l40s = lookup("NVIDIA L40S")
    assert l40s.memory_bytes == 46068 * 2**20
    assert l40s.bytes_per_s == 864e9
