"""Order of calibration and largest batch: on runtimes that are made up, and on those installed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from edge_networks import IMAGES, network
from made_up_runtimes import MadeUp, Program
from test_adapters import usable

from kdnotes.edge import runtimes
from kdnotes.edge.runtimes import surprises


@dataclass(frozen=True)
class LastCounts(MadeUp):
    """The last calibration image shifts all logits."""

    def _write(self, network, path, calibration):
        super()._write(network, path, None)
        if calibration is not None:
            path.with_suffix(".txt").write_text(str(float(calibration[-1].mean())))

    def _read(self, path):
        shift = float(path.with_suffix(".txt").read_text())
        return Program(path, MadeUp(shift=shift))


@dataclass(frozen=True)
class AtMost(MadeUp):
    most: int = 3

    def _read(self, path):
        return Limited(path, self)


class Limited(Program):
    def __call__(self, images):
        if len(images) > self.runtime.most:
            raise RuntimeError("too many")
        return super().__call__(images)


def test_the_order_of_calibration_is_seen_where_it_counts():
    found = surprises.reordered(LastCounts(), network(), IMAGES, IMAGES)
    shift = abs(float(IMAGES[0].mean() - IMAGES[-1].mean()))
    assert found == {"flips": 0, "largest_difference": pytest.approx(shift, abs=1e-5)}
    assert surprises.reordered(MadeUp(), network(), IMAGES, IMAGES)["largest_difference"] == 0


# (ExecuTorch's quantizer observes a histogram, whose bins follow the first images a little.)
EXTREMES = (runtimes.OnnxRuntime(), runtimes.LiteRT())


@pytest.mark.parametrize("runtime", EXTREMES, ids=lambda one: one.label)
def test_extremes_depend_on_no_order(runtime):
    found = surprises.reordered(usable(runtime), network(), IMAGES, IMAGES)
    assert found == {"flips": 0, "largest_difference": 0.0}


def test_a_moving_average_depends_on_the_order():
    runtime = usable(runtimes.LiteRT(ranges="moving average"))
    growing = IMAGES[IMAGES.flatten(1).amax(1).argsort()]
    assert surprises.reordered(runtime, network(), IMAGES, growing)["largest_difference"] > 0.01


def test_the_largest_batch_is_found():
    for most in (0, 3, 24, 30):
        found = surprises.largest_batch(AtMost(most=most), network(), IMAGES)
        assert found == min(most, len(IMAGES))


def test_an_example_of_two_images_ends_at_fifteen_and_one_of_all_does_not():
    """The surprise, and its cure: the example is as large as the batch that is asked for."""
    for batch, most in ((2, 15), (24, 24)):
        runtime = usable(runtimes.ExecuTorch(batch=batch, up_to=24))
        assert surprises.largest_batch(runtime, network(), IMAGES) == most


def test_bad_input_of_the_surprises_is_named():
    with pytest.raises(ValueError, match="images must be a floating-point"):
        surprises.largest_batch(MadeUp(), network(), IMAGES[0])
    with pytest.raises(ValueError, match="calibration must be a floating-point"):
        surprises.reordered(MadeUp(), network(), IMAGES, IMAGES[0])
