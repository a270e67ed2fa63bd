"""Teacher and student networks, each a chain of named stages and a head."""

from kdnotes.models.compound import Cohort, MultiExitStudent
from kdnotes.models.decoder import Decoder
from kdnotes.models.foreign import check_network, describe
from kdnotes.models.networks import ResidualStudent, StridedPointwise, StudentNet, TeacherNet
from kdnotes.models.staged import (
    StagedNet,
    count_parameters,
    feature_shapes,
    forward_features,
    stages_of_equal_size,
)

__all__ = [
    "Cohort", "Decoder", "MultiExitStudent", "ResidualStudent", "StagedNet", "StridedPointwise",
    "StudentNet", "TeacherNet", "check_network", "count_parameters", "describe", "feature_shapes",
    "forward_features", "stages_of_equal_size",
]  # fmt: skip
