"""Teacher and student networks, each a chain of named stages and a head."""

from kdnotes.models.compound import Cohort, MultiExitStudent
from kdnotes.models.decoder import Decoder
from kdnotes.models.foreign import check_network, describe
from kdnotes.models.networks import ResidualStudent, StridedPointwise, StudentNet, TeacherNet
from kdnotes.models.pairing import stage_pairs
from kdnotes.models.pretrained import IMAGENET, Adapted, Preset, adapt, load_weights, preset_of
from kdnotes.models.staged import (
    StagedNet,
    count_parameters,
    feature_shapes,
    forward_features,
    input_shape,
    stages_of_equal_size,
)
from kdnotes.models.transformer import VisionTransformer, mean_of_softmaxes

__all__ = [
    "IMAGENET", "Adapted", "Cohort", "Decoder", "MultiExitStudent", "Preset", "ResidualStudent",
    "StagedNet", "StridedPointwise", "StudentNet", "TeacherNet", "VisionTransformer", "adapt",
    "check_network", "count_parameters", "describe", "feature_shapes", "forward_features",
    "input_shape", "load_weights", "mean_of_softmaxes", "preset_of", "stage_pairs",
    "stages_of_equal_size",
]  # fmt: skip
