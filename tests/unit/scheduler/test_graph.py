"""Buffers, laid out by hand."""

from random import Random

import pytest

from moorage_scheduler.estimators.arena import Arena
from moorage_scheduler.estimators.graph import Device, Graph, buffer_sizes


@pytest.fixture
def arena():
    return Arena()


class TestArena:
    def test_pieces_lie_in_a_row(self, arena):
        assert [arena.take(64), arena.take(128), arena.take(64)] == [0, 64, 192]
        assert arena.peak == 256

    def test_pieces_begin_at_whole_steps(self, arena):
        assert [arena.take(1), arena.take(65), arena.take(1)] == [0, 64, 192]

    def test_the_smallest_hole_that_fits_is_taken(self, arena):
        starts = [arena.take(size) for size in (256, 64, 128, 64)]
        arena.give(starts[0], 256)
        arena.give(starts[2], 128)
        assert arena.take(128) == starts[2]
        assert arena.take(128) == starts[0]
        assert arena.peak == 512

    def test_holes_beside_each_other_become_one(self, arena):
        starts = [arena.take(64) for _ in range(4)]
        for number in (0, 2, 1):
            arena.give(starts[number], 64)
        assert arena.take(192) == 0

    def test_what_is_given_back_at_the_end_is_room_to_grow_into(self, arena):
        starts = [arena.take(64) for _ in range(3)]
        arena.give(starts[1], 64)
        arena.give(starts[2], 64)
        assert arena.take(256) == 64
        assert arena.peak == 320

    def test_nothing_takes_no_room(self, arena):
        arena.give(arena.take(0), 0)
        assert (arena.take(64), arena.peak) == (0, 64)

    @pytest.mark.parametrize("seed", range(20))
    def test_pieces_never_overlap(self, arena, seed):
        random, held = Random(seed), []
        for _ in range(300):
            if held and random.random() < 0.45:
                arena.give(*held.pop(random.randrange(len(held))))
                continue
            size = random.randrange(1, 40) * 32
            start = arena.take(size)
            assert all(start + size <= other or other + length <= start for other, length in held)
            assert start + size <= arena.peak
            held.append((start, size))
        for piece in held:
            arena.give(*piece)
        assert arena.take(arena.peak) == 0


@pytest.fixture
def graph():
    return Graph()


def host(graph):
    return buffer_sizes(graph)[Device.HOST]


class TestGraph:
    def test_a_tensor_is_given_back_after_its_last_reader(self, graph):
        state = graph.input("tokens", 640)
        for _ in range(5):
            state = graph.compute(640, state)
        graph.run(state)
        assert host(graph) == 2 * 640

    def test_one_that_is_read_later_keeps_its_place(self, graph):
        first = graph.compute(640)
        last = graph.compute(640, graph.compute(640, graph.compute(640, first)), first)
        graph.run(last)
        assert host(graph) == 3 * 640

    def test_a_successor_takes_the_place_of_what_nothing_else_reads(self, graph):
        graph.run(graph.revise(graph.revise(graph.compute(640))))
        assert host(graph) == 640

    def test_and_has_its_own_where_something_does(self, graph):
        first = graph.compute(640)
        graph.run(graph.compute(64, graph.revise(first), first))
        assert host(graph) == 2 * 640 + 64

    def test_a_tensor_lives_as_long_as_its_views(self, graph):
        first = graph.compute(640)
        view = graph.view(first, 64)
        last = graph.compute(128, graph.compute(640, graph.compute(640, first)), view)
        graph.run(last)
        assert host(graph) == 3 * 640

    def test_what_is_kept_keeps_its_place(self, graph):
        graph.run(graph.compute(640, graph.compute(640, graph.compute(640, kept=True))))
        assert host(graph) == 3 * 640

    def test_stored_elsewhere_takes_no_room(self, graph):
        graph.store(graph.compute(64))
        assert host(graph) == 64

    def test_what_it_is_made_of_is_computed_first_and_once(self, graph):
        first = graph.compute(1)
        second, third = graph.compute(2, first), graph.compute(3, first)
        last = graph.compute(4, third, second)
        graph.run(last)
        graph.run(second)
        assert graph.operations == [first, third, second, last]

    def test_inputs_of_one_name_are_one(self, graph):
        assert graph.input("mask", 64) is graph.input("mask", 64)

    def test_the_other_device_has_a_copy_of_what_it_reads(self, graph):
        mask = graph.input("mask", 640)
        state = graph.compute(64)
        graph.device = Device.GPU
        state = graph.compute(64, state, mask)
        graph.run(graph.compute(64, state, mask))
        assert buffer_sizes(graph) == {Device.HOST: 640 + 64, Device.GPU: 640 + 2 * 64}
